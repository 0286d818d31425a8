//! Answers that are handed out once more within a few seconds, and then wiped.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::call::{Answer, Ask};

/// Bounded by age, by number and by bytes.
#[derive(Default)]
pub(super) struct Kept {
    answers: HashMap<Arc<Ask>, (u64, Answer)>,
    /// Oldest first. An answer that was replaced is here twice, under the number of its request.
    order: VecDeque<(Instant, u64, Arc<Ask>)>,
    bytes: usize,
}

impl Kept {
    /// Keeps an answer to the request of this number. An answer to an earlier request never replaces one to a later one.
    pub(super) fn keep(&mut self, ask: &Arc<Ask>, number: u64, answer: Answer, now: Instant) {
        if self.answers.get(ask).is_some_and(|(kept, _)| *kept > number) {
            return;
        }
        self.forget(ask);
        self.bytes += answer.size();
        self.answers.insert(Arc::clone(ask), (number, answer));
        self.order.push_back((now + AGE, number, Arc::clone(ask)));
        while self.order.len() > MOST || self.bytes > MOST_BYTES {
            self.drop_oldest();
        }
    }

    /// The answer, if there is one that is not too old.
    pub(super) fn answer(&self, ask: &Ask) -> Option<Answer> {
        self.answers.get(ask).map(|(_, answer)| answer.clone())
    }

    /// Wipes what is too old now.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(until, ..)| *until <= now) {
            self.drop_oldest();
        }
    }

    /// When there is something to wipe next.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.order.front().map(|(until, ..)| *until)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, number, ask)) = self.order.pop_front()
            && self.answers.get(&ask).is_some_and(|(kept, _)| *kept == number)
        {
            self.forget(&ask);
        }
    }

    fn forget(&mut self, ask: &Ask) {
        if let Some((_, answer)) = self.answers.remove(ask) {
            self.bytes -= answer.size();
        }
    }
}

/// Long enough for the objects of one round to share a request, short enough that nobody waits for a new value.
const AGE: Duration = Duration::from_secs(5);
const MOST: usize = 4096;
const MOST_BYTES: usize = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(id: usize) -> Arc<Ask> {
        Arc::new(Ask::Revoke(id.to_string()))
    }

    fn version(text: &str) -> Answer {
        Answer::Version(Some(text.to_owned()))
    }

    fn text(answer: Option<Answer>) -> Option<String> {
        match answer {
            Some(Answer::Version(version)) => version,
            _ => None,
        }
    }

    #[test]
    fn an_answer_is_gone_after_its_age() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        kept.keep(&ask(1), 1, version("a"), now);
        assert_eq!(kept.next_expiry(), Some(now + AGE));
        kept.expire(now + AGE - Duration::from_nanos(1));
        assert_eq!(text(kept.answer(&ask(1))).as_deref(), Some("a"));
        kept.expire(now + AGE);
        assert!(kept.answers.is_empty() && kept.order.is_empty());
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn a_replaced_answer_gets_an_age_of_its_own() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        kept.keep(&ask(1), 1, version("a"), now);
        kept.keep(&ask(1), 2, version("b"), now + AGE / 2);
        kept.expire(now + AGE);
        assert_eq!(text(kept.answer(&ask(1))).as_deref(), Some("b"));
    }

    #[test]
    fn an_earlier_request_never_replaces_a_later_one() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        kept.keep(&ask(1), 2, version("new"), now);
        kept.keep(&ask(1), 1, version("old"), now);
        assert_eq!(text(kept.answer(&ask(1))).as_deref(), Some("new"));
    }

    #[test]
    fn number_and_bytes_are_bounded() {
        let (mut kept, now) = (Kept::default(), Instant::now());
        for id in 0..MOST + 10 {
            kept.keep(&ask(id), id as u64, version("x"), now);
        }
        assert_eq!((kept.answers.len(), kept.order.len()), (MOST, MOST));
        kept.keep(&ask(0), u64::MAX, version(&"x".repeat(MOST_BYTES)), now);
        assert!(kept.bytes <= MOST_BYTES && kept.answers.len() <= 1);
    }
}
