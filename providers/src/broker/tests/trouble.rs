//! Stores in trouble: what is tried again, when everybody is told at once, and how a store comes back.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_failed_connection_is_tried_once_more_and_only_that() {
    let refused = |code: Option<u16>| Failure { code, ..down() };
    let table = [
        (refused(None), 2),
        (refused(Some(503)), 2),
        (refused(Some(408)), 1),
        (Failure::new(Kind::Forbidden, "x"), 1),
        (Failure::new(Kind::Untrusted, "x"), 1),
        (Failure::new(Kind::Sealed, "x").with_code(503), 1),
    ];
    for (failure, requests) in table {
        let fake = Fake::new();
        fake.state().failures = [Some(failure.clone())].into();
        let answer = broker(&fake).read(&key("a"), Freshness::Shared).await;
        assert_eq!(fake.count(), requests, "{failure}");
        assert_eq!(answer.is_ok(), requests == 2, "{failure}");
        if requests == 2 {
            let state = fake.state();
            let pause = state.requests[1].0 - state.requests[0].0 - Duration::from_millis(10);
            assert!((50..=151).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_changes_something_is_tried_twice() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let lease = Lease { id: "l".to_owned(), seconds: 1, renewable: true };
    fake.state().failures = [Some(down()), None, Some(down()), None].into();
    assert!(broker.read(&Read { consumer: "u".to_owned(), ..key("a") }, Freshness::Shared).await.is_err());
    assert_eq!(broker.renew(&lease).await.map(|lease| lease.seconds), Ok(120));
    assert!(broker.revoke("l").await.is_err());
    assert_eq!(broker.keep_alive().await, Some(1000));
    assert_eq!(fake.asked(), ["read a", "renew l", "revoke l", "keep_alive"]);
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_only_what_failed_is_tried_again() {
    struct Half(AtomicUsize);
    #[async_trait]
    impl Provider for Half {
        fn name(&self) -> &'static str {
            "half"
        }
        fn batch(&self) -> usize {
            10
        }
        async fn read(&self, reads: &[Read]) -> Vec<Result<Entry, Failure>> {
            let first = self.0.fetch_add(reads.len(), Ordering::SeqCst) == 0;
            let entry = |read: &Read| match read.key.as_str() {
                "bad" if first => Err(down()),
                key => Ok(Entry { value: Secret::new(key.into()), version: None, lease: None }),
            };
            // One answer too few, which a provider must not do.
            reads.iter().filter(|read| read.key != "lost").map(entry).collect()
        }
        async fn find(&self, _: &Find) -> Result<Vec<String>, Failure> {
            Ok(Vec::new())
        }
        async fn check(&self) -> Result<(), Failure> {
            Ok(())
        }
    }
    let half = Arc::new(Half(AtomicUsize::new(0)));
    let broker = Broker::new(Arc::clone(&half) as Arc<dyn Provider>, Arc::new(()));
    let reads = [key("good"), key("bad"), key("lost")];
    let answers = join_all(reads.iter().map(|read| broker.read(read, Freshness::Shared))).await;
    assert_eq!(text(answers[0].as_ref().unwrap()), "good");
    assert_eq!(text(answers[1].as_ref().unwrap()), "bad");
    assert_eq!(answers[2].as_ref().unwrap_err().kind, Kind::BadData);
    assert_eq!(half.0.load(Ordering::SeqCst), 4);
}

/// The place of a failure is somebody's path. Guard: `shared` in the breaker.
#[tokio::test(start_paused = true)]
async fn after_three_outages_callers_fail_at_once_while_one_probe_looks_after_it() {
    let fake = Fake::new();
    fake.state().down = Some(down());
    let broker = broker(&fake);
    let mut health = broker.health();
    assert_eq!(*health.borrow_and_update(), Health::Unknown);
    for at in 0..3 {
        let failure = broker.read(&key(format!("k{at}")), Freshness::Shared).await.unwrap_err();
        assert_eq!(failure.place.as_deref(), Some("team-a/path"));
    }
    let told = Failure { place: None, ..down() };
    assert_eq!(*health.borrow_and_update(), Health::Sick(told.clone()));
    let opened = Instant::now();
    let before = fake.count();
    assert_eq!(before, 6);
    for at in 0..100 {
        let read = key(format!("more{at}"));
        assert_eq!(broker.read(&read, Freshness::Forced).await.map(drop), Err(told.clone()));
        assert_eq!(broker.find(&Find::default(), Freshness::Shared).await, Err(told.clone()));
        assert_eq!(broker.check().await, Err(told.clone()));
    }
    assert_eq!(opened.elapsed(), Duration::ZERO);
    assert_eq!(fake.count(), before);
    sleep(Duration::from_secs(200)).await;
    let times: Vec<Instant> = {
        let state = fake.state();
        assert!(state.requests[before..].iter().all(|(_, what)| what == "check"));
        state.requests[before..].iter().map(|(at, _)| *at).collect()
    };
    let mut last = opened;
    let expected = [1, 2, 4, 8, 16, 20, 20, 20, 20, 20, 20, 20, 20].map(Duration::from_secs);
    assert!((10..=13).contains(&times.len()), "{}", times.len());
    for (time, least) in times.iter().zip(expected) {
        let pause = *time - last;
        assert!(
            pause >= least && pause <= least.mul_f64(1.5) + Duration::from_millis(20),
            "{pause:?} {least:?}"
        );
        last = *time;
    }
    // No second change was told: the store is as sick as it was.
    assert!(!health.has_changed().unwrap());

    fake.state().down = None;
    let back = Instant::now();
    health.changed().await.unwrap();
    assert_eq!(*health.borrow_and_update(), Health::Well);
    assert!(back.elapsed() <= Duration::from_secs(31));
    assert!(broker.read(&key("a"), Freshness::Shared).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_holds_nobody_longer_than_one_request() {
    let fake = Fake::new();
    fake.state().latency = [Duration::from_secs(3600)].into();
    let broker = broker(&fake);
    let began = Instant::now();
    let reads: Vec<Read> = (0..500).map(|at| key(format!("k{at}"))).collect();
    let answers = join_all(reads.iter().map(|read| broker.read(read, Freshness::Shared))).await;
    assert!(
        answers.iter().all(|answer| answer.as_ref().is_err_and(|failure| failure.kind == Kind::Unavailable))
    );
    assert!(began.elapsed() <= Duration::from_secs(11), "{:?}", began.elapsed());
    assert_eq!(fake.count(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_success_between_failures_keeps_the_store_in_use() {
    let fake = Fake::new();
    let broker = broker(&fake);
    let fail = || Some(Failure::new(Kind::Sealed, "Vault is sealed"));
    fake.state().failures = [fail(), fail(), None, fail(), fail()].into();
    for at in 0..6 {
        let _ = broker.read(&key(format!("k{at}")), Freshness::Shared).await;
    }
    assert_eq!(fake.count(), 6);
    assert_eq!(*broker.health().borrow(), Health::Well);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_or_forbidden_says_nothing_about_the_store() {
    let fake = Fake::new();
    let broker = broker(&fake);
    for at in 0..10 {
        let failure = broker.read(&key(format!("missing{at}")), Freshness::Shared).await.unwrap_err();
        assert_eq!(failure.kind, Kind::EntryMissing);
        assert_eq!(failure.place, Some(format!("missing{at}")));
    }
    assert_eq!(fake.count(), 10);
    assert_eq!(*broker.health().borrow(), Health::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_again_that_something_is_missing_is_well() {
    let fake = Fake::new();
    let broker = broker(&fake);
    fake.state().latency = [100, 10, 10, 10].map(Duration::from_millis).into();
    let fail = || Some(Failure::new(Kind::Untrusted, "x"));
    fake.state().failures = [fail(), fail(), fail()].into();
    let slow = key("missing");
    let sick = async {
        sleep(Duration::from_millis(1)).await;
        let reads = [key("a"), key("b"), key("c")];
        let fails = join_all(reads.iter().map(|read| broker.read(read, Freshness::Shared))).await;
        assert!(fails.iter().all(Result::is_err));
        assert!(matches!(&*broker.health().borrow(), Health::Sick(_)));
    };
    let (answer, ()) = tokio::join!(broker.read(&slow, Freshness::Shared), sick);
    assert_eq!(answer.unwrap_err().kind, Kind::EntryMissing);
    assert_eq!(*broker.health().borrow(), Health::Well);
    assert!(broker.read(&key("a"), Freshness::Shared).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_not_let_in_opens_the_store_and_says_why_it_is_sick() {
    let fake = Fake::new();
    let broker = broker(&fake);
    fake.state().down = Some(down());
    for at in 0..3 {
        let _ = broker.read(&key(format!("k{at}")), Freshness::Shared).await;
    }
    let refused = Failure::new(Kind::Unauthenticated, "the token is not valid");
    fake.state().down = Some(refused.clone());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(*broker.health().borrow(), Health::Sick(refused.clone()));
    assert_eq!(broker.read(&key("a"), Freshness::Shared).await.map(drop), Err(refused));
    fake.state().down = None;
    assert!(broker.read(&key("a"), Freshness::Shared).await.is_ok());
    assert_eq!(*broker.health().borrow(), Health::Well);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_store_is_left_alone_as_long_as_it_says() {
    let fake = Fake::new();
    let broker = broker(&fake);
    fake.state().failures = [Some(throttled(30))].into();
    let failure = broker.read(&key("a"), Freshness::Shared).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Throttled);
    let began = Instant::now();
    sleep(Duration::from_secs(10)).await;
    let failure = broker.read(&key("b"), Freshness::Forced).await.unwrap_err();
    assert_eq!((failure.kind, failure.retry_after), (Kind::Throttled, Some(Duration::from_secs(20))));
    assert_eq!(fake.count(), 1);
    let mut health = broker.health();
    assert!(matches!(&*health.borrow_and_update(), Health::Sick(failure) if failure.kind == Kind::Throttled));
    // Who waits is told without having to ask.
    health.changed().await.unwrap();
    assert_eq!(*health.borrow_and_update(), Health::Well);
    assert_eq!(began.elapsed(), Duration::from_millis(30_010));
    assert_eq!(fake.asked(), ["read a", "check"]);
    assert!(broker.read(&key("b"), Freshness::Shared).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_left_alone_for_a_year() {
    let fake = Fake::new();
    let broker = broker(&fake);
    fake.state().failures = [Some(throttled(365 * 24 * 3600))].into();
    assert!(broker.read(&key("a"), Freshness::Shared).await.is_err());
    sleep(Duration::from_secs(301)).await;
    assert!(broker.read(&key("a"), Freshness::Shared).await.is_ok());
}
