//! The queue in virtual time.

use std::collections::HashMap;

use tokio::time::{advance, timeout};

use super::*;

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::new(namespace, name)
}

/// What can be taken within `wait`, without anything being reported done.
async fn drain(queue: &Queue, wait: Duration) -> Vec<String> {
    let mut taken = Vec::new();
    while let Ok(Some(key)) = timeout(wait, queue.take()).await {
        taken.push(key.to_string());
    }
    taken
}

const NOW: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn new_objects_come_before_changed_ones_and_those_before_refreshes() {
    let queue = Queue::new();
    queue.add(&key("a", "refreshed"), Class::Refresh);
    queue.add(&key("a", "changed"), Class::Changed);
    queue.add(&key("a", "new"), Class::New);
    assert_eq!(drain(&queue, NOW).await, ["a/new", "a/changed", "a/refreshed"]);
}

#[tokio::test(start_paused = true)]
async fn namespaces_take_turns() {
    let queue = Queue::new();
    for number in 0..4 {
        queue.add(&key("busy", &number.to_string()), Class::Changed);
    }
    queue.add(&key("calm", "only"), Class::Changed);
    assert_eq!(drain(&queue, NOW).await, ["busy/0", "calm/only", "busy/1", "busy/2", "busy/3"]);
}

/// D05. Guard: the fair turn in `State::take`, which goes round.
#[tokio::test(start_paused = true)]
async fn no_class_is_starved_while_the_other_two_are_full() {
    for starved in Class::ALL {
        let queue = Queue::new();
        queue.add(&key("a", "starved"), starved);
        for class in Class::ALL.into_iter().filter(|class| *class != starved) {
            for number in 0..100 {
                queue.add(&key("a", &format!("{class:?}-{number}")), class);
            }
        }
        let taken = drain(&queue, NOW).await;
        let turn = taken.iter().position(|key| key == "a/starved").unwrap();
        assert!(turn < 16, "{starved:?}: {turn}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_waits_once_and_moves_up_when_it_becomes_urgent() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::Refresh);
    queue.add(&key("a", "two"), Class::Changed);
    queue.add(&one, Class::Changed);
    queue.add(&one, Class::New);
    queue.add(&one, Class::Refresh);
    assert_eq!(queue.waiting(), [1, 1, 0]);
    assert_eq!(drain(&queue, NOW).await, ["a/one", "a/two"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_is_worked_on_by_one_worker_and_again_when_it_changed_meanwhile() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::New);
    assert_eq!(queue.take().await.as_ref(), Some(&one));
    queue.add(&one, Class::Changed);
    assert!(drain(&queue, Duration::from_secs(60)).await.is_empty(), "still with the first worker");
    queue.done(&one, Verdict::Done);
    assert_eq!(drain(&queue, NOW).await, ["a/one"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_waits_for_a_change() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::New);
    queue.take().await;
    queue.done(&one, Verdict::Done);
    assert!(drain(&queue, Duration::from_secs(100_000)).await.is_empty());
    queue.add(&one, Class::Changed);
    assert_eq!(drain(&queue, NOW).await, ["a/one"]);
}

/// D06. Guard: the exponential growth in `delay`.
#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_ever_less_often_and_never_given_up() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::New);
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(86_400) {
        queue.take().await;
        times.push(begin.elapsed());
        queue.done(&one, Verdict::Backoff);
    }
    // 9 tries within about 5 minutes, then one about every 5 minutes for a day.
    let early = times.iter().filter(|time| **time < Duration::from_secs(256)).count();
    assert!((8..=10).contains(&early), "{early}");
    assert!((230..=400).contains(&times.len()), "{}", times.len());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_object_is_looked_at_again_at_the_ceiling_only() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::New);
    queue.take().await;
    queue.done(&one, Verdict::Ceiling);
    let begin = Instant::now();
    queue.take().await;
    assert!(begin.elapsed() >= CEILING.mul_f64(0.8) && begin.elapsed() <= CEILING.mul_f64(1.21));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_cause_skips_the_delay() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::New);
    queue.take().await;
    queue.done(&one, Verdict::Ceiling);
    queue.add(&one, Class::Changed);
    let begin = Instant::now();
    assert_eq!(queue.take().await.as_ref(), Some(&one));
    assert_eq!(begin.elapsed(), Duration::ZERO);
    queue.done(&one, Verdict::Done);
    assert!(drain(&queue, CEILING * 2).await.is_empty(), "the old delay is gone");
}

#[tokio::test(start_paused = true)]
async fn a_success_starts_the_backoff_anew() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::New);
    for _ in 0..10 {
        queue.take().await;
        queue.done(&one, Verdict::Backoff);
    }
    queue.take().await;
    queue.done(&one, Verdict::After(Duration::from_secs(5)));
    queue.take().await;
    let begin = Instant::now();
    queue.done(&one, Verdict::Backoff);
    queue.take().await;
    assert!(begin.elapsed() <= BACKOFF.mul_f64(1.21));
}

/// D05. Guard: the bucket in `State::add`.
#[tokio::test(start_paused = true)]
async fn an_object_that_flaps_is_slowed_down_and_delays_nobody() {
    let queue = Queue::new();
    let flapping = key("a", "flapping");
    let mut looks: HashMap<String, u32> = HashMap::new();
    for turn in 0..1000_u32 {
        queue.add(&flapping, Class::Changed);
        if turn % 100 == 0 {
            queue.add(&key("b", "calm"), Class::Changed);
        }
        while let Ok(Some(key)) = timeout(Duration::ZERO, queue.take()).await {
            *looks.entry(key.to_string()).or_default() += 1;
            queue.done(&key, Verdict::Done);
        }
        advance(Duration::from_millis(10)).await;
    }
    assert_eq!(looks["b/calm"], 10);
    // 10 seconds at 5 a second, and the burst.
    assert!((60..=72).contains(&looks["a/flapping"]), "{looks:?}");
    advance(REFILL * 2).await;
    assert_eq!(drain(&queue, NOW).await, ["a/flapping"], "the last change is not lost");
}

/// D05. Guard: `State::let_go`, which keeps a spent bucket.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_deleted_and_created_all_the_time_is_slowed_down_just_as_well() {
    // Deleted after, and while, it is looked at.
    for while_looked_at in [false, true] {
        let queue = Queue::new();
        let flapping = key("a", "flapping");
        let mut looks = 0;
        for _ in 0..1000 {
            queue.add(&flapping, Class::New);
            while let Ok(Some(key)) = timeout(Duration::ZERO, queue.take()).await {
                looks += 1;
                if while_looked_at {
                    queue.forget(&key);
                }
                queue.done(&key, Verdict::Done);
            }
            queue.forget(&flapping);
            advance(Duration::from_millis(10)).await;
        }
        // 10 seconds at 5 a second, and the burst.
        assert!((60..=72).contains(&looks), "{looks}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_forgotten_objects_once_their_buckets_are_full_again() {
    let queue = Queue::new();
    let keys: Vec<_> = (0..1000).map(|number| key("a", &number.to_string())).collect();
    for round in 0..3 {
        for key in &keys {
            queue.add(key, Class::New);
        }
        while let Ok(Some(key)) = timeout(Duration::ZERO, queue.take()).await {
            queue.done(&key, Verdict::Done);
        }
        keys.iter().for_each(|key| queue.forget(key));
        keys.iter().for_each(|key| queue.forget(key));
        let kept = queue.lock();
        assert_eq!((kept.entries.len(), kept.spent.len()), (1000, 1000 * (round + 1)), "{round}");
    }
    advance(REFILL * 3).await;
    queue.forget(&key("a", "any"));
    assert!(queue.lock().entries.is_empty());
    assert!(queue.lock().spent.is_empty());
    // One made anew before that is kept.
    queue.add(&keys[0], Class::New);
    queue.take().await;
    queue.done(&keys[0], Verdict::Done);
    queue.forget(&keys[0]);
    queue.add(&keys[0], Class::New);
    advance(REFILL).await;
    assert_eq!(drain(&queue, NOW).await, ["a/0"]);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_object_is_not_given_out_and_its_worker_changes_nothing() {
    let queue = Queue::new();
    let (one, two) = (key("a", "one"), key("a", "two"));
    queue.add(&one, Class::New);
    queue.add(&two, Class::New);
    queue.forget(&two);
    assert_eq!(drain(&queue, NOW).await, ["a/one"]);
    queue.forget(&one);
    queue.done(&one, Verdict::Backoff);
    assert!(drain(&queue, CEILING * 2).await.is_empty());
    assert_eq!(queue.waiting(), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_object_made_anew_waits_until_the_work_on_the_old_one_has_ended() {
    let queue = Queue::new();
    let one = key("a", "one");
    queue.add(&one, Class::New);
    queue.take().await;
    queue.forget(&one);
    queue.add(&one, Class::New);
    assert!(drain(&queue, NOW).await.is_empty());
    queue.done(&one, Verdict::Done);
    assert_eq!(drain(&queue, NOW).await, ["a/one"]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_queue_gives_out_nothing() {
    let queue = Queue::new();
    queue.add(&key("a", "one"), Class::New);
    queue.close();
    assert_eq!(queue.take().await, None);
}

/// Guard: the first tick is in the past, so that no tick is later than a second after its time.
#[tokio::test(start_paused = true)]
async fn what_waits_for_long_comes_back_together_and_at_most_a_second_late() {
    let queue = Queue::new();
    let began = Instant::now();
    let waits = [24 * 3600 * 1000, 20_000, 20_900, 300];
    for (number, wait) in waits.into_iter().enumerate() {
        let object = key("a", &number.to_string());
        queue.add(&object, Class::New);
        queue.take().await;
        queue.done(&object, Verdict::After(Duration::from_millis(wait)));
        advance(Duration::from_millis(10)).await;
    }
    let mut came = Vec::new();
    for _ in waits {
        let object = queue.take().await.expect("it is open");
        came.push((object.name().to_owned(), began.elapsed().as_millis()));
    }
    let expected = [("3", 330), ("1", 21_000), ("2", 21_000), ("0", 86_400_000)];
    assert_eq!(came, expected.map(|(name, at)| (name.to_owned(), at)));
}
