//! Virtual time: the clock moves when nothing else can.

mod trouble;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{MutexGuard, atomic::AtomicUsize, atomic::Ordering},
};

use async_trait::async_trait;
use futures::future::join_all;
use tokio::time::{Instant, advance, sleep};
use waxwing_core::Secret;

use super::*;
use crate::Pace;

/// A provider that does as it is told.
struct Fake {
    state: Mutex<State>,
    batch: usize,
    pace: Pace,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// When each request began, and what it was.
    requests: Vec<(Instant, String)>,
    /// How long the next requests take; the last one is for all that follow.
    latency: VecDeque<Duration>,
    /// How the next requests end, if not well.
    failures: VecDeque<Option<Failure>>,
    /// How all requests end, if not well.
    down: Option<Failure>,
    /// The values, where they are not the key with the number of the request.
    values: HashMap<String, (Vec<u8>, Option<String>)>,
    versions: bool,
}

impl Fake {
    fn new() -> Arc<Self> {
        Self::with(1, Pace { per_second: 100_000, burst: 100_000 })
    }

    fn with(batch: usize, pace: Pace) -> Arc<Self> {
        let state = State { latency: [Duration::from_millis(10)].into(), ..State::default() };
        let (in_flight, most_in_flight) = Default::default();
        Arc::new(Self { state: Mutex::new(state), batch, pace, in_flight, most_in_flight })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn count(&self) -> usize {
        self.state().requests.len()
    }

    fn asked(&self) -> Vec<String> {
        self.state().requests.iter().map(|(_, what)| what.clone()).collect()
    }

    async fn request(&self, what: String) -> Result<usize, Failure> {
        let (number, latency) = {
            let mut state = self.state();
            state.requests.push((Instant::now(), what));
            let latency = if state.latency.len() > 1 {
                state.latency.pop_front()
            } else {
                state.latency.front().copied()
            };
            (state.requests.len(), latency.unwrap_or_default())
        };
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        sleep(latency).await;
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let mut state = self.state();
        match state.failures.pop_front().flatten().or_else(|| state.down.clone()) {
            Some(failure) => Err(failure),
            None => Ok(number),
        }
    }
}

#[async_trait]
impl Provider for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
        let keys: Vec<&str> = reads.iter().map(|read| read.key.as_str()).collect();
        let number = self.request(format!("read {}", keys.join(" "))).await;
        let entry = |read: &Read| {
            let number = number.clone()?;
            if read.key.starts_with("missing") {
                return Err(Failure::new(Kind::EntryMissing, "there is no such entry").at(&read.key));
            }
            if read.key.starts_with("panic") {
                panic!("as the test wants");
            }
            let (value, version) = self
                .state()
                .values
                .get(&read.key)
                .cloned()
                .unwrap_or_else(|| (format!("{}#{number}", read.key).into_bytes(), None));
            let lease = read.key.starts_with("dynamic").then(|| Lease {
                id: format!("lease-{number}"),
                seconds: 60,
                renewable: true,
            });
            Ok(Entry { value: Secret::new(value), version, lease })
        };
        reads.iter().map(entry).collect()
    }

    async fn version(&self, read: &Read) -> Option<Result<String, Failure>> {
        if !self.state().versions {
            return None;
        }
        let answer = self.request(format!("version {}", read.key)).await;
        let version = self.state().values.get(&read.key).and_then(|(_, version)| version.clone());
        Some(answer.map(|_| version.unwrap_or_default()))
    }

    async fn find(&self, find: &Find) -> Result<Vec<String>, Failure> {
        let path = find.path.clone().unwrap_or_default();
        self.request(format!("find {path}")).await.map(|number| vec![format!("{path}/{number}")])
    }

    async fn check(&self) -> Result<(), Failure> {
        self.request("check".to_owned()).await.map(drop)
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Failure> {
        self.request(format!("renew {}", lease.id)).await.map(|_| Lease { seconds: 120, ..lease.clone() })
    }

    async fn revoke(&self, lease_id: &str) -> Result<(), Failure> {
        self.request(format!("revoke {lease_id}")).await.map(drop)
    }

    async fn keep_alive(&self) -> Option<u64> {
        self.request("keep_alive".to_owned()).await.ok().map(|_| 1000)
    }
}

fn broker(fake: &Arc<Fake>) -> Broker {
    Broker::new(Arc::clone(fake) as Arc<dyn Provider>, Arc::new(()))
}

fn key(key: impl Into<String>) -> Read {
    Read { key: key.into(), ..Read::default() }
}

fn text(entry: &Entry) -> String {
    String::from_utf8(entry.value.expose().to_vec()).unwrap()
}

fn down() -> Failure {
    Failure::new(Kind::Unavailable, "the connection was refused").at("team-a/path")
}

fn throttled(seconds: u64) -> Failure {
    Failure::new(Kind::Throttled, "too many requests").after(Some(Duration::from_secs(seconds)))
}

#[tokio::test(start_paused = true)]
async fn two_thousand_objects_on_two_hundred_paths_are_two_hundred_requests() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let ask = |at: usize| {
        let broker = broker.clone();
        async move {
            broker.read(&key(format!("path-{}", at % 200)), Freshness::Shared).await.map(|entry| text(&entry))
        }
    };
    let answers = join_all((0..2000).map(ask)).await;
    assert_eq!(fake.count(), 200);
    for (at, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert_eq!(answer.split_once('#').map(|(key, _)| key), Some(&*format!("path-{}", at % 200)));
    }
    assert!(fake.most_in_flight.load(Ordering::SeqCst) <= 16);
}

#[tokio::test(start_paused = true)]
async fn forty_reads_of_a_provider_that_takes_twenty_are_two_requests() {
    let fake = Fake::with(20, Pace { per_second: 1000, burst: 1000 });
    let broker = broker(&fake);
    let began = Instant::now();
    let reads: Vec<Read> = (0..40).map(|at| key(format!("k{at}"))).collect();
    let answers = join_all(reads.iter().map(|read| broker.read(read, Freshness::Shared))).await;
    assert_eq!(fake.count(), 2);
    assert_eq!(began.elapsed(), Duration::from_millis(10));
    for (read, answer) in reads.iter().zip(answers) {
        assert!(text(&answer.unwrap()).starts_with(&format!("{}#", read.key)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_read_waits_two_milliseconds_for_company() {
    let fake = Fake::with(20, Pace { per_second: 1000, burst: 1000 });
    let broker = broker(&fake);
    let began = Instant::now();
    let (first, second, third) = (key("a"), key("b"), key("c"));
    let later = async |read, millis| {
        sleep(Duration::from_millis(millis)).await;
        broker.read(read, Freshness::Shared).await
    };
    let (one, two, three) =
        tokio::join!(broker.read(&first, Freshness::Shared), later(&second, 1), later(&third, 4));
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    assert_eq!(fake.asked(), ["read a b", "read c"]);
    assert_eq!(fake.state().requests[0].0 - began, Duration::from_millis(2));
}

#[tokio::test(start_paused = true)]
async fn a_value_is_shared_for_five_seconds_and_then_wiped() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let first = broker.read(&key("a"), Freshness::Shared).await.unwrap();
    let kept = Arc::downgrade(&first);
    drop(first);
    advance(Duration::from_millis(4999)).await;
    assert_eq!(text(&broker.read(&key("a"), Freshness::Shared).await.unwrap()), "a#1");
    assert!(kept.upgrade().is_some());
    // Nobody asks, and the value goes all the same.
    sleep(Duration::from_millis(2)).await;
    assert!(kept.upgrade().is_none());
    assert_eq!(text(&broker.read(&key("a"), Freshness::Shared).await.unwrap()), "a#2");
}

#[tokio::test(start_paused = true)]
async fn a_forced_read_takes_nothing_that_was_asked_for_before_it() {
    let fake = Fake::new();
    let broker = broker(&fake);
    // Not what is kept.
    assert_eq!(text(&broker.read(&key("a"), Freshness::Shared).await.unwrap()), "a#1");
    assert_eq!(text(&broker.read(&key("a"), Freshness::Forced).await.unwrap()), "a#2");
    // Not what is on its way.
    let read = key("b");
    let forced = async {
        sleep(Duration::from_millis(5)).await;
        broker.read(&read, Freshness::Forced).await.map(|entry| text(&entry))
    };
    let others = (0..10).map(|_| async {
        sleep(Duration::from_millis(6)).await;
        broker.read(&read, Freshness::Forced).await.map(|entry| text(&entry))
    });
    let (shared, forced, others) =
        tokio::join!(broker.read(&read, Freshness::Shared), forced, join_all(others));
    assert_eq!(text(&shared.unwrap()), "b#3");
    assert_eq!(forced, Ok("b#4".to_owned()));
    // Those who force it together share the request.
    assert!(others.into_iter().all(|answer| answer == Ok("b#4".to_owned())));
    assert_eq!(fake.count(), 4);
    // And what they got is the newest from now on.
    assert_eq!(text(&broker.read(&read, Freshness::Shared).await.unwrap()), "b#4");
}

#[tokio::test(start_paused = true)]
async fn callers_who_force_at_the_same_moment_share_one_request() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let read = key("a");
    let answers = join_all((0..100).map(|_| broker.read(&read, Freshness::Forced))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(fake.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_forces_behind_a_failing_request_is_not_held_longer() {
    let fake = Fake::new();
    fake.state().down = Some(down());
    fake.state().latency = [Duration::from_secs(10)].into();
    let broker = broker(&fake);
    let began = Instant::now();
    let (first, second) = (key("a"), key("a"));
    let forced = async {
        sleep(Duration::from_secs(1)).await;
        broker.read(&second, Freshness::Forced).await
    };
    let (first, second) = tokio::join!(broker.read(&first, Freshness::Shared), forced);
    assert!(first.is_err() && second.is_err());
    assert_eq!((fake.count(), began.elapsed()), (1, Duration::from_secs(10)));
}

/// Guard: `shareable`, and the whole of `Read` in the key.
#[tokio::test(start_paused = true)]
async fn different_questions_never_get_each_others_answers() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let base = key("dynamic");
    let reads = [
        base.clone(),
        Read { version: Some("1".to_owned()), ..base.clone() },
        Read { metadata: true, ..base.clone() },
        Read { parameters: BTreeMap::from([("name".to_owned(), "x".to_owned())]), ..base.clone() },
        Read { consumer: "uid-1".to_owned(), ..base.clone() },
        Read { consumer: "uid-2".to_owned(), ..base.clone() },
        key("Dynamic"),
        key("dynamic/"),
    ];
    for freshness in [Freshness::Shared, Freshness::Forced] {
        let before = fake.count();
        let answers = join_all(reads.iter().map(|read| broker.read(read, freshness))).await;
        assert_eq!(fake.count() - before, reads.len());
        let texts: HashSet<String> = answers.iter().map(|answer| text(answer.as_ref().unwrap())).collect();
        assert_eq!(texts.len(), reads.len());
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_made_for_one_object_are_neither_shared_nor_kept() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let of_one = Read { consumer: "uid-1".to_owned(), ..key("dynamic") };
    // What is given parameters writes, also when nobody says for whom.
    let written =
        Read { parameters: BTreeMap::from([("name".to_owned(), "x".to_owned())]), ..key("written") };
    for (read, requests) in [(of_one, 5), (written, 10)] {
        let answers = join_all((0..5).map(|_| broker.read(&read, Freshness::Shared))).await;
        assert_eq!(fake.count(), requests);
        let weak: Vec<_> = answers.into_iter().map(|answer| Arc::downgrade(&answer.unwrap())).collect();
        assert!(weak.iter().all(|entry| entry.upgrade().is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_for_somebody_who_is_gone_are_revoked() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let read = Read { consumer: "uid-1".to_owned(), ..key("dynamic") };
    let gone = tokio::time::timeout(Duration::from_millis(5), broker.read(&read, Freshness::Shared)).await;
    assert!(gone.is_err());
    sleep(Duration::from_millis(50)).await;
    assert_eq!(fake.asked(), ["read dynamic", "revoke lease-1"]);
    // Who leaves before the request begins causes none.
    fake.state().latency = [Duration::from_secs(1)].into();
    let many: Vec<Read> = (0..17).map(|at| Read { consumer: at.to_string(), ..key("other") }).collect();
    let all = join_all(many.iter().map(|read| broker.read(read, Freshness::Shared)));
    assert!(tokio::time::timeout(Duration::from_millis(5), all).await.is_err());
    sleep(Duration::from_secs(5)).await;
    assert_eq!(fake.count(), 2 + 16);
}

#[tokio::test(start_paused = true)]
async fn one_caller_who_leaves_takes_nothing_from_the_others() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let read = key("a");
    let leaves = tokio::time::timeout(Duration::from_millis(5), broker.read(&read, Freshness::Shared));
    let (left, stayed) = tokio::join!(leaves, broker.read(&read, Freshness::Shared));
    assert!(left.is_err());
    assert_eq!(text(&stayed.unwrap()), "a#1");
    // Also when it was the only one: the answer is there for the next.
    let read = key("b");
    assert!(
        tokio::time::timeout(Duration::from_millis(5), broker.read(&read, Freshness::Shared)).await.is_err()
    );
    assert_eq!(text(&broker.read(&read, Freshness::Shared).await.unwrap()), "b#2");
    assert_eq!(fake.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_broker_ends_its_requests_and_lets_the_provider_go() {
    let fake = Fake::new();
    fake.state().latency = [Duration::from_secs(5)].into();
    let broker = broker(&fake);
    let read = key("a");
    let _ = tokio::time::timeout(Duration::from_secs(1), broker.read(&read, Freshness::Shared)).await;
    assert_eq!(fake.in_flight.load(Ordering::SeqCst), 1);
    drop(broker);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(Arc::strong_count(&fake), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_keep_to_the_providers_pace() {
    let fake = Fake::with(1, Pace { per_second: 10, burst: 5 });
    fake.state().latency = [Duration::ZERO].into();
    let broker = broker(&fake);
    let began = Instant::now();
    let reads: Vec<Read> = (0..25).map(|at| key(format!("k{at}"))).collect();
    let answers = join_all(reads.iter().map(|read| broker.read(read, Freshness::Shared))).await;
    assert!(answers.iter().all(Result::is_ok));
    let at: Vec<u128> = fake.state().requests.iter().map(|(at, _)| (*at - began).as_millis()).collect();
    assert_eq!(at[..5], [0; 5]);
    for (number, at) in at[5..].iter().enumerate() {
        let due = 100 * (number as u128 + 1);
        // The clock of tokio's timers counts whole milliseconds, rounded up.
        assert!((due..=due + 2).contains(at), "{number}: {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_value_is_read_again_only_when_its_version_is_another() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let put = |key: &str, bytes: usize, version: &str| {
        fake.state().values.insert(key.to_owned(), (vec![b'x'; bytes], Some(version.to_owned())));
    };
    fake.state().versions = true;
    put("large", 17 * 1024, "1");
    put("small", 100, "1");
    for name in ["large", "small"] {
        assert!(broker.read(&key(name), Freshness::Shared).await.is_ok());
    }
    let refresh = async |name: &str, known: &str| {
        let before = fake.count();
        let changed = match broker.refresh(&key(name), known, Freshness::Forced).await.unwrap() {
            Refreshed::Same => None,
            Refreshed::Changed(entry) => entry.version.clone(),
        };
        (changed, fake.asked()[before..].join(", "))
    };
    assert_eq!(refresh("large", "1").await, (None, "version large".to_owned()));
    assert_eq!(refresh("small", "1").await, (None, "read small".to_owned()));
    put("large", 17 * 1024, "2");
    assert_eq!(refresh("large", "1").await, (Some("2".to_owned()), "version large, read large".to_owned()));
    // Once it is small, it is simply read.
    put("large", 10, "3");
    assert_eq!(refresh("large", "2").await, (Some("3".to_owned()), "version large, read large".to_owned()));
    assert_eq!(refresh("large", "3").await, (None, "read large".to_owned()));
    // A version that cannot be had is no reason not to read.
    put("large", 17 * 1024, "4");
    assert_eq!(refresh("large", "3").await, (Some("4".to_owned()), "read large".to_owned()));
    fake.state().failures = [Some(Failure::new(Kind::Forbidden, "x"))].into();
    assert_eq!(refresh("large", "4").await, (None, "version large, read large".to_owned()));
    fake.state().versions = false;
    assert_eq!(refresh("large", "4").await, (None, "read large".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn searches_are_shared_like_reads() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let find = |path: &str| Find { path: Some(path.to_owned()), ..Find::default() };
    let (a, b) = (find("a"), find("b"));
    let answers = join_all([&a, &b, &a, &a].map(|find| broker.find(find, Freshness::Shared))).await;
    let keys: Vec<String> = answers.into_iter().map(|answer| answer.unwrap().join(",")).collect();
    assert_eq!(keys, ["a/1", "b/2", "a/1", "a/1"]);
    assert_eq!(fake.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_panics_fails_its_request_and_no_other() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let (bad, good) = (key("panic"), key("a"));
    let (bad, good) =
        tokio::join!(broker.read(&bad, Freshness::Shared), broker.read(&good, Freshness::Shared));
    assert_eq!(bad.unwrap_err().kind, Kind::Unavailable);
    assert!(good.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_is_told_and_a_good_one_mends_it() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let forbidden = Failure::new(Kind::Unauthenticated, "the token is not valid");
    fake.state().failures = [Some(forbidden.clone())].into();
    assert_eq!(broker.check().await, Err(forbidden.clone()));
    assert_eq!(*broker.health().borrow(), Health::Sick(forbidden));
    assert_eq!(broker.check().await, Ok(()));
    assert_eq!(*broker.health().borrow(), Health::Well);
}

#[tokio::test(start_paused = true)]
async fn every_request_is_told_to_the_observer() {
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);
    impl Observer for Told {
        fn requested(&self, provider: &'static str, call: Call, outcome: Result<(), Kind>, took: Duration) {
            self.0.lock().unwrap().push(format!("{provider} {} {outcome:?} {took:?}", call.as_str()));
        }
    }
    let (fake, told) = (Fake::new(), Arc::new(Told::default()));
    let broker = Broker::new(Arc::clone(&fake) as Arc<dyn Provider>, Arc::clone(&told) as Arc<dyn Observer>);
    fake.state().failures = [Some(down())].into();
    assert!(broker.read(&key("a"), Freshness::Shared).await.is_ok());
    assert!(broker.read(&key("a"), Freshness::Shared).await.is_ok());
    assert!(broker.read(&key("missing"), Freshness::Shared).await.is_err());
    assert!(broker.check().await.is_ok());
    let expected = [
        "fake read Err(Unavailable) 10ms",
        "fake read Ok(()) 10ms",
        "fake read Err(EntryMissing) 10ms",
        "fake check Ok(()) 10ms",
    ];
    assert_eq!(*told.0.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn one_sick_store_holds_up_no_other() {
    let (sick, well) = (Fake::new(), Fake::new());
    sick.state().latency = [Duration::from_secs(3600)].into();
    let (first, second) = (broker(&sick), broker(&well));
    let reads: Vec<Read> = (0..50).map(|at| key(format!("k{at}"))).collect();
    let held = join_all(reads.iter().map(|read| first.read(read, Freshness::Shared)));
    let began = Instant::now();
    let quick = async {
        let answers = join_all(reads.iter().map(|read| second.read(read, Freshness::Shared))).await;
        assert!(answers.iter().all(Result::is_ok));
        began.elapsed()
    };
    let (_, took) = tokio::join!(held, quick);
    // Fifty requests of 10 ms, sixteen at once.
    assert!(took <= Duration::from_millis(45), "{took:?}");
}
