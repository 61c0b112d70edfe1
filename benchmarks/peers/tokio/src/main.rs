//! Local operations of tokio on a multi-thread runtime with one worker and on a current-thread runtime.
//!
//! Prints one JSON line per runtime and operation. Every operation runs inside a spawned task, so that
//! what it spawns and wakes stays on the thread that runs it. benchmarks/README.md says what each counts.

mod tail;

use std::future::Future;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

/// Tasks per round of `spawn`, and tasks that take turns in `yield`: below the 256 places of a worker's
/// own queue, and enough to share what a turn of the driver costs.
const BATCH: u64 = 100;
const SPAWNS: u64 = 50_000;
const YIELDS: u64 = 100_000;
const MESSAGES: u64 = 100_000;
const CHANNEL_CAPACITY: usize = 64;
const CHILDREN: u64 = 100_000;
const REMOTE_SPAWNS: u64 = 50_000;
const PARKED_SPAWNS: u64 = 500;

/// How many tasks have run to their end.
static FINISHED: AtomicU64 = AtomicU64::new(0);

fn ns_per(started: Instant, operations: u64) -> f64 {
    started.elapsed().as_nanos() as f64 / operations as f64
}

async fn finish() {
    FINISHED.fetch_add(1, Ordering::Relaxed);
}

async fn wait_for_finished(count: u64) {
    while FINISHED.load(Ordering::Relaxed) < count {
        yield_now().await;
    }
}

async fn spawn() -> f64 {
    let started = Instant::now();
    for _ in 0..SPAWNS / BATCH {
        FINISHED.store(0, Ordering::Relaxed);
        for _ in 0..BATCH {
            tokio::spawn(finish());
        }
        wait_for_finished(BATCH).await;
    }
    ns_per(started, SPAWNS)
}

async fn take_turns() -> f64 {
    FINISHED.store(0, Ordering::Relaxed);
    let started = Instant::now();
    for _ in 0..BATCH {
        tokio::spawn(async {
            for _ in 0..YIELDS / BATCH {
                yield_now().await;
            }
            finish().await;
        });
    }
    wait_for_finished(BATCH).await;
    ns_per(started, YIELDS)
}

async fn channel() -> f64 {
    let (sender, mut receiver) = mpsc::channel::<u64>(CHANNEL_CAPACITY);
    let started = Instant::now();
    let producer = tokio::spawn(async move {
        for message in 0..MESSAGES {
            sender.send(message).await.expect("the receiver is alive");
        }
    });
    let mut sum = 0;
    while let Some(message) = receiver.recv().await {
        sum += message;
    }
    let ns = ns_per(started, MESSAGES);
    assert_eq!(sum, MESSAGES * (MESSAGES - 1) / 2);
    producer.await.expect("the producer does not panic");
    ns
}

async fn cancel_per_child() -> f64 {
    let root = CancellationToken::new();
    let children: Vec<_> = (0..CHILDREN).map(|_| root.child_token()).collect();
    let started = Instant::now();
    root.cancel();
    let ns = ns_per(started, CHILDREN);
    assert!(children.iter().all(CancellationToken::is_cancelled));
    ns
}

async fn wake() -> f64 {
    let root = CancellationToken::new();
    FINISHED.store(0, Ordering::Relaxed);
    static WAITING: AtomicU64 = AtomicU64::new(0);
    WAITING.store(0, Ordering::Relaxed);
    for _ in 0..CHILDREN {
        let child = root.child_token();
        tokio::spawn(async move {
            WAITING.fetch_add(1, Ordering::Relaxed);
            child.cancelled().await;
            finish().await;
        });
    }
    while WAITING.load(Ordering::Relaxed) < CHILDREN {
        yield_now().await;
    }
    let started = Instant::now();
    root.cancel();
    wait_for_finished(CHILDREN).await;
    ns_per(started, CHILDREN)
}

/// From a thread that is none of the runtime's to a worker that is running: until all have run.
fn remote_spawn(runtime: &Runtime) -> f64 {
    static OVER: AtomicBool = AtomicBool::new(false);
    OVER.store(false, Ordering::Relaxed);
    FINISHED.store(0, Ordering::Relaxed);
    let busy = runtime.spawn(async {
        while !OVER.load(Ordering::Relaxed) {
            yield_now().await;
        }
    });
    let started = Instant::now();
    for _ in 0..REMOTE_SPAWNS {
        runtime.spawn(finish());
    }
    while FINISHED.load(Ordering::Relaxed) < REMOTE_SPAWNS {
        spin_loop();
    }
    let ns = ns_per(started, REMOTE_SPAWNS);
    OVER.store(true, Ordering::Relaxed);
    runtime.block_on(busy).expect("it does not panic");
    ns
}

/// To a worker that waits in the kernel: until the task has run.
fn remote_spawn_parked(runtime: &Runtime) -> f64 {
    FINISHED.store(0, Ordering::Relaxed);
    let mut taken = Duration::ZERO;
    for i in 0..PARKED_SPAWNS {
        // Long enough for the worker to be back in the kernel.
        let pause = Instant::now() + Duration::from_micros(100);
        while Instant::now() < pause {}
        let started = Instant::now();
        runtime.spawn(finish());
        while FINISHED.load(Ordering::Relaxed) <= i {
            spin_loop();
        }
        taken += started.elapsed();
    }
    taken.as_nanos() as f64 / PARKED_SPAWNS as f64
}

/// Measures `once`, after a first time that fills free lists.
fn sample(name: &str, operation: &str, repetitions: usize, once: impl Fn() -> f64) {
    once();
    let mut samples: Vec<f64> = (0..repetitions).map(|_| once()).collect();
    samples.sort_by(f64::total_cmp);
    println!(
        "{{\"peer\":\"tokio\",\"runtime\":\"{name}\",\"operation\":\"{operation}\",\"ns\":{:.2},\
         \"min_ns\":{:.2},\"max_ns\":{:.2},\"repetitions\":{repetitions}}}",
        samples[repetitions / 2],
        samples[0],
        samples[repetitions - 1],
    );
}

fn measure<F>(
    runtime: &Runtime,
    name: &str,
    operation: &str,
    repetitions: usize,
    run: impl Fn() -> F,
) where
    F: Future<Output = f64> + Send + 'static,
{
    sample(name, operation, repetitions, || {
        runtime
            .block_on(runtime.spawn(run()))
            .expect("an operation does not panic")
    });
}

fn measure_all(runtime: &Runtime, name: &str, repetitions: usize) {
    measure(runtime, name, "spawn", repetitions, spawn);
    measure(runtime, name, "yield", repetitions, take_turns);
    measure(runtime, name, "channel", repetitions, channel);
    measure(
        runtime,
        name,
        "cancel_per_child",
        repetitions,
        cancel_per_child,
    );
    measure(runtime, name, "wake", repetitions, wake);
}

/// `--repetitions N` (an odd number keeps the median a sample); anything else is an error.
fn repetitions() -> Result<usize, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => Ok(11),
        [option, count] if option == "--repetitions" => match count.parse() {
            Ok(count) if count > 0 => Ok(count),
            _ => Err(format!(
                "--repetitions needs a number above 0, not '{count}'"
            )),
        },
        other => Err(format!(
            "usage: bench_peer_tokio [--repetitions N | --tail SECONDS], not {other:?}"
        )),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, seconds] = arguments.as_slice() {
        if option == "--tail" {
            return tail::measure_all(seconds.parse().unwrap_or(5));
        }
    }
    let repetitions = repetitions().unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        std::process::exit(2);
    });
    let one_worker = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let one_worker = one_worker.expect("a runtime");
    measure_all(&one_worker, "one_worker", repetitions);
    // A current-thread runtime runs only while somebody drives it, so it has no part in these.
    sample("one_worker", "remote_spawn", repetitions, || {
        remote_spawn(&one_worker)
    });
    sample("one_worker", "remote_spawn_parked", repetitions, || {
        remote_spawn_parked(&one_worker)
    });
    let current_thread = Builder::new_current_thread().enable_all().build();
    measure_all(
        &current_thread.expect("a runtime"),
        "current_thread",
        repetitions,
    );
}
