//! One login, shared by all who read: when it is renewed, when it is replaced, and that only one does it.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use waxwing_core::store::Failure;

/// How long a renewal that failed is left alone, while the token is still good.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a login is new. Where Vault does not say whether a token is unknown or may not do something, this is how
/// often a new one is tried.
const NEW: Duration = Duration::from_secs(60);

/// How logging in and renewing are done. Both may take a while; only one runs at a time.
pub(super) trait Door: Sync {
    /// What a login gives.
    type Pass: Clone + Send + Sync;

    /// Logs in.
    fn log_in(&self) -> impl Future<Output = Result<Granted<Self::Pass>, Failure>> + Send;

    /// Prolongs the login.
    fn renew(&self, pass: &Self::Pass) -> impl Future<Output = Result<Granted<Self::Pass>, Failure>> + Send;
}

/// What a login or a renewal gave.
#[derive(Clone)]
pub(super) struct Granted<P> {
    /// What requests are sent with.
    pub(super) pass: P,
    /// For how long; without, it does not expire.
    pub(super) lasts: Option<Duration>,
    /// Whether it can be prolonged.
    pub(super) renewable: bool,
}

/// A login that holds.
#[derive(Clone)]
pub(super) struct Session<P> {
    /// What requests are sent with.
    pub(super) pass: P,
    /// Which login it came from. A renewal keeps it.
    number: u64,
    /// When it was made.
    since: Instant,
    /// How long the login lasted when it was new.
    lasted: Option<Duration>,
    renewable: bool,
    /// When it should be renewed or replaced.
    due: Option<Instant>,
    /// When it is over.
    ends: Option<Instant>,
}

impl<P> Session<P> {
    /// How long it has left.
    pub(super) fn left(&self) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_duration_since(Instant::now()))
    }

    /// How long until it should be renewed or replaced.
    pub(super) fn until_due(&self) -> Option<Duration> {
        self.due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Whether it was made so recently that it can hardly have been revoked since.
    pub(super) fn is_new(&self) -> bool {
        self.since.elapsed() < NEW
    }

    fn is_due(&self) -> bool {
        self.until_due().is_some_and(|left| left.is_zero())
    }

    fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}

/// The current login, if there is one.
pub(super) struct Sessions<P> {
    current: Mutex<Option<Arc<Session<P>>>>,
    /// Held by the one who logs in or renews.
    turn: tokio::sync::Mutex<()>,
    /// How many logins were tried, and how the last one failed. Those who waited for it share the failure.
    tried: Mutex<(u64, Option<Failure>)>,
}

impl<P> Default for Sessions<P> {
    fn default() -> Self {
        Self { current: Mutex::default(), turn: tokio::sync::Mutex::default(), tried: Mutex::default() }
    }
}

impl<P: Clone + Send + Sync> Sessions<P> {
    /// A login that holds. Renews or makes one if need be.
    ///
    /// # Errors
    /// Why the login failed. While the last one still holds, that is no failure.
    pub(super) async fn live(&self, door: &impl Door<Pass = P>) -> Result<Arc<Session<P>>, Failure> {
        let seen = self.tries();
        if let Some(session) = self.usable() {
            if session.is_due()
                && let Ok(_turn) = self.turn.try_lock()
            {
                return Ok(self.prolong(door, session).await);
            }
            // It is fresh, or somebody else is about to prolong it.
            return Ok(session);
        }
        let _turn = self.turn.lock().await;
        if let Some(session) = self.usable() {
            return Ok(session);
        }
        if self.tries() != seen
            && let Some(failure) = lock(&self.tried).1.clone()
        {
            return Err(failure);
        }
        self.log_in(door).await
    }

    /// Drops this login, unless it was replaced already.
    pub(super) fn forget(&self, session: &Session<P>) {
        lock(&self.current).take_if(|current| current.number == session.number);
    }

    /// Renews it, or logs in anew. If neither works it stays as it is: it still holds for a while.
    async fn prolong(&self, door: &impl Door<Pass = P>, session: Arc<Session<P>>) -> Arc<Session<P>> {
        // Between the look and the turn somebody else may have done it.
        if let Some(current) = self.usable()
            && !current.is_due()
        {
            return current;
        }
        if session.renewable {
            match door.renew(&session.pass).await {
                Ok(granted) => return self.renewed(&session, granted),
                Err(failure) if failure.kind.is_outage() => return self.postpone(&session),
                // It cannot be renewed (any more).
                Err(_) => {}
            }
        }
        match self.log_in(door).await {
            Ok(session) => session,
            Err(_) => self.postpone(&session),
        }
    }

    async fn log_in(&self, door: &impl Door<Pass = P>) -> Result<Arc<Session<P>>, Failure> {
        let result = door.log_in().await;
        let number = {
            let mut tried = lock(&self.tried);
            *tried = (tried.0 + 1, result.as_ref().err().cloned());
            tried.0
        };
        let Granted { pass, lasts, renewable } = result?;
        Ok(self.hold(
            Session { pass, number, since: Instant::now(), lasted: lasts, renewable, due: None, ends: None },
            lasts,
        ))
    }

    fn renewed(&self, old: &Session<P>, granted: Granted<P>) -> Arc<Session<P>> {
        // A token that nears its greatest age is renewed for less and less. The next step is a login.
        let shrinks = match (old.lasted, granted.lasts) {
            (Some(lasted), Some(lasts)) => lasts < lasted / 2,
            _ => false,
        };
        let renewable = granted.renewable && !shrinks;
        self.hold(Session { pass: granted.pass, renewable, ..old.clone() }, granted.lasts)
    }

    fn postpone(&self, session: &Session<P>) -> Arc<Session<P>> {
        let due = Some(Instant::now() + PAUSE);
        self.put(Session { due, ..session.clone() })
    }

    fn hold(&self, session: Session<P>, lasts: Option<Duration>) -> Arc<Session<P>> {
        let now = Instant::now();
        let due = lasts.map(|lasts| now + lasts * 2 / 3);
        self.put(Session { due, ends: lasts.map(|lasts| now + lasts), ..session })
    }

    fn put(&self, session: Session<P>) -> Arc<Session<P>> {
        let session = Arc::new(session);
        *lock(&self.current) = Some(session.clone());
        session
    }

    fn usable(&self) -> Option<Arc<Session<P>>> {
        lock(&self.current).clone().filter(|session| !session.is_over())
    }

    fn tries(&self) -> u64 {
        lock(&self.tried).0
    }
}

/// No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use waxwing_core::store::Kind;

    use super::*;

    /// A door that counts. `fails` says what logins and renewals answer.
    struct Counted {
        lasts: u64,
        renewed_for: u64,
        renewable: bool,
        fails: Mutex<(Option<Kind>, Option<Kind>)>,
        logins: AtomicU64,
        renewals: AtomicU64,
    }

    impl Counted {
        fn new(lasts: u64, renewable: bool) -> Self {
            Self {
                lasts,
                renewed_for: lasts,
                renewable,
                fails: Mutex::default(),
                logins: AtomicU64::new(0),
                renewals: AtomicU64::new(0),
            }
        }

        fn grant(&self, pass: u64, seconds: u64) -> Granted<u64> {
            Granted { pass, lasts: Some(Duration::from_secs(seconds)), renewable: self.renewable }
        }

        fn counts(&self) -> (u64, u64) {
            (self.logins.load(Ordering::Relaxed), self.renewals.load(Ordering::Relaxed))
        }
    }

    impl Door for Counted {
        type Pass = u64;

        async fn log_in(&self) -> Result<Granted<u64>, Failure> {
            let number = self.logins.fetch_add(1, Ordering::Relaxed) + 1;
            // Others arrive while it runs.
            tokio::time::sleep(Duration::from_millis(10)).await;
            match self.fails.lock().unwrap().0 {
                Some(kind) => Err(Failure::new(kind, "no")),
                None => Ok(self.grant(number, self.lasts)),
            }
        }

        async fn renew(&self, pass: &u64) -> Result<Granted<u64>, Failure> {
            self.renewals.fetch_add(1, Ordering::Relaxed);
            match self.fails.lock().unwrap().1 {
                Some(kind) => Err(Failure::new(kind, "no")),
                None => Ok(self.grant(*pass, self.renewed_for)),
            }
        }
    }

    async fn many(sessions: &Sessions<u64>, door: &Counted) -> Vec<Result<u64, Kind>> {
        let all = (0..20).map(|_| sessions.live(door));
        let all = futures::future::join_all(all).await;
        all.into_iter().map(|one| one.map(|session| session.pass).map_err(|failure| failure.kind)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_once_share_one_login() {
        let (sessions, door) = (Sessions::default(), Counted::new(60, true));
        assert_eq!(many(&sessions, &door).await, vec![Ok(1); 20]);
        assert_eq!(door.counts(), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_once_share_one_failure_and_the_next_caller_tries_again() {
        let (sessions, door) = (Sessions::default(), Counted::new(60, true));
        door.fails.lock().unwrap().0 = Some(Kind::Unauthenticated);
        assert_eq!(many(&sessions, &door).await, vec![Err(Kind::Unauthenticated); 20]);
        assert_eq!(door.counts(), (1, 0));
        door.fails.lock().unwrap().0 = None;
        assert_eq!(sessions.live(&door).await.map(|session| session.pass).ok(), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_after_two_thirds_by_one_caller() {
        let (sessions, door) = (Sessions::default(), Counted::new(60, true));
        many(&sessions, &door).await;
        tokio::time::advance(Duration::from_secs(39)).await;
        many(&sessions, &door).await;
        assert_eq!(door.counts(), (1, 0));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(many(&sessions, &door).await, vec![Ok(1); 20]);
        assert_eq!(door.counts(), (1, 1));
        let left = sessions.live(&door).await.unwrap().left().unwrap();
        assert_eq!(left.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_cannot_be_renewed_is_replaced_before_it_ends() {
        let (sessions, door) = (Sessions::default(), Counted::new(60, false));
        many(&sessions, &door).await;
        tokio::time::advance(Duration::from_secs(41)).await;
        many(&sessions, &door).await;
        assert_eq!(door.counts(), (2, 0));
        assert_eq!(sessions.live(&door).await.unwrap().pass, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_nears_its_greatest_age_is_renewed_once_more_and_then_replaced() {
        let (sessions, mut door) = (Sessions::default(), Counted::new(60, true));
        door.renewed_for = 20;
        many(&sessions, &door).await;
        tokio::time::advance(Duration::from_secs(41)).await;
        many(&sessions, &door).await;
        assert_eq!(door.counts(), (1, 1));
        tokio::time::advance(Duration::from_secs(14)).await;
        many(&sessions, &door).await;
        assert_eq!(door.counts(), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_renewal_becomes_a_login() {
        let (sessions, door) = (Sessions::default(), Counted::new(60, true));
        many(&sessions, &door).await;
        door.fails.lock().unwrap().1 = Some(Kind::Forbidden);
        tokio::time::advance(Duration::from_secs(41)).await;
        assert_eq!(sessions.live(&door).await.unwrap().pass, 2);
        assert_eq!(door.counts(), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn during_an_outage_the_token_is_used_to_its_end() {
        let (sessions, door) = (Sessions::default(), Counted::new(60, true));
        many(&sessions, &door).await;
        *door.fails.lock().unwrap() = (Some(Kind::Unavailable), Some(Kind::Unavailable));
        tokio::time::advance(Duration::from_secs(41)).await;
        assert_eq!(many(&sessions, &door).await, vec![Ok(1); 20]);
        assert_eq!(door.counts(), (1, 1));
        tokio::time::advance(Duration::from_secs(20)).await;
        assert_eq!(sessions.live(&door).await.err().map(|failure| failure.kind), Some(Kind::Unavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_login_that_was_meant_is_forgotten() {
        let (sessions, door) = (Sessions::default(), Counted::new(60, true));
        let first = sessions.live(&door).await.unwrap();
        sessions.forget(&first);
        let second = sessions.live(&door).await.unwrap();
        sessions.forget(&first);
        assert_eq!(sessions.live(&door).await.unwrap().pass, second.pass);
        assert_eq!(door.counts(), (2, 0));
    }
}
