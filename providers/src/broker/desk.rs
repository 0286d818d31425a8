//! The one task of a broker, where all questions arrive. It holds no lock and never waits for the provider itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use waxwing_core::store::{Failure, Kind};

use super::{
    Freshness, Health, LOST, Observer,
    breaker::Breaker,
    call::{Answer, Ask, request},
    kept::Kept,
    pace::Bucket,
};
use crate::Provider;

type Answered = Result<Answer, Failure>;

/// A question with where its answer goes.
pub(super) struct Order {
    pub(super) ask: Ask,
    pub(super) freshness: Freshness,
    pub(super) reply: oneshot::Sender<Answered>,
}

/// One question with everybody who waits for its answer.
struct Flight {
    ask: Arc<Ask>,
    waiters: Vec<oneshot::Sender<Answered>>,
    since: Instant,
    begun: bool,
    /// The flight with the same question that begins when this one has ended: for everybody who came when this one had
    /// begun, and takes no answer to an earlier request.
    next: Option<u64>,
}

pub(super) struct Desk {
    provider: Arc<dyn Provider>,
    observer: Arc<dyn Observer>,
    orders: mpsc::UnboundedReceiver<Order>,
    health: watch::Sender<Health>,
    /// By number, which counts up.
    flights: HashMap<u64, Flight>,
    /// The last flight for each question that can be shared.
    newest: HashMap<Arc<Ask>, u64>,
    /// Those that have not begun, in their order.
    waiting: VecDeque<u64>,
    number: u64,
    calls: JoinSet<Vec<Answered>>,
    /// What each call is for. What is in here counts as in flight.
    carried: HashMap<Id, Vec<u64>>,
    probe: Option<Id>,
    kept: Kept,
    bucket: Bucket,
    breaker: Breaker,
    /// [`Provider::batch`], at least 1.
    batch: usize,
}

impl Desk {
    pub(super) fn new(
        provider: Arc<dyn Provider>,
        observer: Arc<dyn Observer>,
        orders: mpsc::UnboundedReceiver<Order>,
        health: watch::Sender<Health>,
    ) -> Self {
        Self {
            bucket: Bucket::new(provider.pace(), Instant::now()),
            batch: provider.batch().max(1),
            provider,
            observer,
            orders,
            health,
            flights: HashMap::new(),
            newest: HashMap::new(),
            waiting: VecDeque::new(),
            number: 0,
            calls: JoinSet::new(),
            carried: HashMap::new(),
            probe: None,
            kept: Kept::default(),
            breaker: Breaker::new(),
        }
    }

    /// Until the last [`Broker`](super::Broker) is gone. What is in flight then ends with it.
    pub(super) async fn run(mut self) {
        loop {
            self.begin();
            let wake = self.wake();
            let later = async {
                match wake {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => {
                        self.take(order);
                        // Whoever asks at the same time shares.
                        while let Ok(order) = self.orders.try_recv() {
                            self.take(order);
                        }
                    }
                    None => return,
                },
                Some(ended) = self.calls.join_next_with_id() => self.end(ended),
                () = later => {}
            }
        }
    }

    /// Answers a question from what there is, or lets it wait.
    fn take(&mut self, Order { ask, freshness, reply }: Order) {
        let now = Instant::now();
        self.kept.expire(now);
        if !ask.shareable() {
            return self.queue(Arc::new(ask), reply, now);
        }
        if freshness == Freshness::Shared
            && let Some(answer) = self.kept.answer(&ask)
        {
            // Whoever asked may have gone.
            let _ = reply.send(Ok(answer));
            return;
        }
        let next = self.number + 1;
        match self.newest.get(&ask).and_then(|number| self.flights.get_mut(number)) {
            Some(flight) if freshness == Freshness::Shared || !flight.begun => flight.waiters.push(reply),
            Some(flight) => {
                flight.next = Some(next);
                let ask = Arc::clone(&flight.ask);
                self.add(ask, reply, now);
            }
            None => self.queue(Arc::new(ask), reply, now),
        }
    }

    fn queue(&mut self, ask: Arc<Ask>, reply: oneshot::Sender<Answered>, since: Instant) {
        if let Some(failure) = self.breaker.refusal(since) {
            let _ = reply.send(Err(failure));
            return;
        }
        let number = self.add(ask, reply, since);
        self.waiting.push_back(number);
    }

    fn add(&mut self, ask: Arc<Ask>, reply: oneshot::Sender<Answered>, since: Instant) -> u64 {
        self.number += 1;
        if ask.shareable() {
            self.newest.insert(Arc::clone(&ask), self.number);
        }
        let flight = Flight { ask, waiters: vec![reply], since, begun: false, next: None };
        self.flights.insert(self.number, flight);
        self.number
    }

    /// Begins whatever can begin now.
    fn begin(&mut self) {
        let now = Instant::now();
        self.kept.expire(now);
        if self.breaker.probe_due(now) && self.probe.is_none() {
            self.probe = Some(self.calls.spawn(self.request(vec![Arc::new(Ask::Check)], false)).id());
        }
        while self.carried.len() < self.breaker.room(MOST) {
            let Some(first) = self.front() else { break };
            if self.gathers_until(&first).is_some_and(|until| until > now) || !self.bucket.take(now) {
                break;
            }
            let numbers = self.draw(matches!(*first, Ask::Read(_)));
            let asks = numbers.iter().map(|number| Arc::clone(&self.flights[number].ask)).collect();
            let call = self.request(asks, true);
            self.carried.insert(self.calls.spawn(call).id(), numbers);
        }
    }

    fn request(&self, asks: Vec<Arc<Ask>>, twice: bool) -> impl Future<Output = Vec<Answered>> + use<> {
        request(Arc::clone(&self.provider), Arc::clone(&self.observer), asks, twice)
    }

    /// The first question that somebody still waits for.
    fn front(&mut self) -> Option<Arc<Ask>> {
        while let Some(number) = self.waiting.front() {
            let flight = &self.flights[number];
            if flight.waiters.iter().any(|waiter| !waiter.is_closed()) {
                return Some(Arc::clone(&flight.ask));
            }
            let number = *number;
            self.waiting.pop_front();
            self.remove(number);
        }
        None
    }

    /// Until when more reads may join this one, if they may.
    fn gathers_until(&self, first: &Ask) -> Option<Instant> {
        let gathers = self.batch > 1 && matches!(first, Ask::Read(_)) && self.waiting.len() < self.batch;
        let first = self.waiting.front().filter(|_| gathers)?;
        Some(self.flights[first].since + WINDOW)
    }

    /// Takes the next question out of the queue, with as many further reads as fit if it is a read.
    fn draw(&mut self, reads: bool) -> Vec<u64> {
        let most = if reads { self.batch } else { 1 };
        let mut drawn = Vec::new();
        let mut rest = VecDeque::new();
        while let Some(number) = self.waiting.pop_front() {
            let fits = drawn.is_empty() || matches!(*self.flights[&number].ask, Ask::Read(_));
            if !fits {
                rest.push_back(number);
                continue;
            }
            if let Some(flight) = self.flights.get_mut(&number) {
                flight.begun = true;
            }
            drawn.push(number);
            if drawn.len() >= most {
                break;
            }
        }
        rest.append(&mut self.waiting);
        self.waiting = rest;
        drawn
    }

    /// When there is something to do although nobody asks and nothing ends.
    fn wake(&self) -> Option<Instant> {
        let queue =
            self.waiting.front().filter(|_| self.carried.len() < self.breaker.room(MOST)).map(|number| {
                let gathered = self.gathers_until(&self.flights[number].ask);
                gathered.map_or(self.bucket.ready_at(), |until| until.max(self.bucket.ready_at()))
            });
        [queue, self.kept.next_expiry(), self.breaker.next_probe()].into_iter().flatten().min()
    }

    /// A call has ended: with answers, or because of a defect.
    fn end(&mut self, ended: Result<(Id, Vec<Answered>), JoinError>) {
        let now = Instant::now();
        let (id, answers) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), vec![Err(LOST)]),
        };
        if self.probe == Some(id) {
            self.probe = None;
            return self.probed(answers.into_iter().next().unwrap_or(Err(LOST)), now);
        }
        let Some(numbers) = self.carried.remove(&id) else { return };
        self.judge(&numbers, &answers, now);
        let answers = answers.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        for (number, answer) in numbers.into_iter().zip(answers) {
            self.deliver(number, answer.unwrap_or(Err(LOST)), now);
        }
    }

    /// What a call says about the store.
    fn judge(&mut self, numbers: &[u64], answers: &[Answered], now: Instant) {
        let ask = numbers.first().and_then(|number| self.flights.get(number)).map(|flight| &*flight.ask);
        if matches!(ask, Some(Ask::KeepAlive)) || matches!(answers, [Ok(Answer::Version(None))]) {
            // Perhaps nobody was asked at all.
            return;
        }
        let outage =
            |answer: &Answered| answer.as_ref().err().filter(|failure| failure.kind.is_outage()).cloned();
        let throttled = answers.iter().filter_map(outage).find(|failure| failure.kind == Kind::Throttled);
        let all = || answers.iter().map(outage).collect::<Option<Vec<_>>>()?.into_iter().next();
        if let Some(failure) = throttled.or_else(all) {
            self.breaker.failed(&failure, now);
            self.refuse(now);
            return;
        }
        // A single entry that is missing or forbidden says nothing about the store; a failed check does.
        let checked = matches!(ask, Some(Ask::Check));
        self.breaker.answered();
        let ailing = matches!(&*self.health.borrow(), Health::Sick(failure) if failure.kind.is_outage());
        match answers.first() {
            Some(Err(failure)) if checked => self.say(Health::Sick(failure.clone())),
            _ if ailing || answers.iter().any(Result::is_ok) => self.say(Health::Well),
            _ => {}
        }
    }

    fn probed(&mut self, answer: Answered, now: Instant) {
        match answer {
            Ok(_) => {
                self.breaker.answered();
                self.say(Health::Well);
            }
            Err(failure) if failure.kind.is_outage() => {
                self.breaker.probe_failed(&failure, now);
                self.refuse(now);
            }
            // It is there again, but something else is wrong: whoever asks is told.
            Err(failure) => {
                self.breaker.answered();
                self.say(Health::Sick(failure));
            }
        }
    }

    /// If the store is no longer asked, tells so whoever waits for a request that has not begun.
    fn refuse(&mut self, now: Instant) {
        let Some(failure) = self.breaker.refusal(now) else { return };
        for number in std::mem::take(&mut self.waiting) {
            self.deliver(number, Err(failure.clone()), now);
        }
        self.say(Health::Sick(Failure { retry_after: None, ..failure }));
    }

    fn deliver(&mut self, number: u64, answer: Answered, now: Instant) {
        let Some(flight) = self.remove(number) else { return };
        if let Ok(answer) = &answer
            && flight.ask.shareable()
            && !matches!(*flight.ask, Ask::Check)
        {
            self.kept.keep(&flight.ask, number, answer.clone(), now);
        }
        if let Some(next) = flight.next {
            match &answer {
                // There is no answer to be too old, and it would be the same again.
                Err(failure) if failure.kind.is_outage() => self.deliver(next, Err(failure.clone()), now),
                _ => self.waiting.push_back(next),
            }
        }
        let shareable = flight.ask.shareable();
        for waiter in flight.waiters {
            let unheard = waiter.send(answer.clone());
            if let Err(Ok(Answer::Entry(entry))) = unheard
                && !shareable
                && let Some(lease) = entry.lease.as_ref().filter(|lease| !lease.id.is_empty())
            {
                // Credentials were made for somebody who is gone: they end here.
                let ask = Arc::new(Ask::Revoke(lease.id.clone()));
                let call = self.request(vec![ask], false);
                self.calls.spawn(call);
            }
        }
    }

    fn remove(&mut self, number: u64) -> Option<Flight> {
        let flight = self.flights.remove(&number)?;
        if self.newest.get(&flight.ask) == Some(&number) {
            self.newest.remove(&flight.ask);
        }
        Some(flight)
    }

    /// Only a change wakes whoever waits for one.
    fn say(&self, health: Health) {
        self.health.send_if_modified(|said| {
            let changed = *said != health;
            *said = health;
            changed
        });
    }
}

/// Requests in flight at once.
const MOST: usize = 16;
/// How long a read waits for others that fit into the same request.
const WINDOW: Duration = Duration::from_millis(2);
