//! What a few handlers that block do to all the others: the same arrivals as benchmarks/local/bench_tail.cpp.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;

const WORKERS: usize = 2;
const COMPUTES: Duration = Duration::from_micros(50);
const BLOCKS: Duration = Duration::from_millis(5);
const HALF_LOAD: f64 = 0.5;

#[derive(Clone, Copy, PartialEq)]
enum Case {
    NoTail,
    Held,
    Offloaded,
}

fn is_slow(number: u64) -> bool {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((mixed ^ (mixed >> 27)) >> 20) % 100 == 0
}

fn interval(with_tail: bool) -> Duration {
    let mean = if with_tail {
        0.99 * COMPUTES.as_secs_f64() + 0.01 * BLOCKS.as_secs_f64()
    } else {
        COMPUTES.as_secs_f64()
    };
    Duration::from_secs_f64(mean / (HALF_LOAD * WORKERS as f64))
}

async fn handle(case: Case, slow: bool, handed_over: Instant, taken: Arc<Vec<AtomicU64>>, number: usize) {
    if !slow {
        let until = Instant::now() + COMPUTES;
        while Instant::now() < until {}
        taken[number].store(handed_over.elapsed().as_nanos() as u64, Ordering::Relaxed);
    } else if case == Case::Held {
        std::thread::sleep(BLOCKS);
    } else {
        let _ = tokio::task::spawn_blocking(|| std::thread::sleep(BLOCKS)).await;
    }
}

fn measure(name: &str, case: Case, seconds: u64) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .expect("a runtime");
    let every = interval(case != Case::NoTail);
    let count = (seconds as f64 / every.as_secs_f64()) as usize;
    let taken: Arc<Vec<AtomicU64>> = Arc::new((0..count).map(|_| AtomicU64::new(0)).collect());
    let mut handles = Vec::with_capacity(count);
    let mut next = Instant::now();
    for number in 0..count {
        if let Some(left) = next.checked_duration_since(Instant::now()) {
            std::thread::sleep(left);
        }
        let slow = case != Case::NoTail && is_slow(number as u64);
        handles.push(runtime.spawn(handle(case, slow, Instant::now(), taken.clone(), number)));
        next += every;
    }
    runtime.block_on(async {
        for handle in handles {
            let _ = handle.await;
        }
    });
    let mut latencies: Vec<u64> = taken.iter().map(|t| t.load(Ordering::Relaxed)).filter(|t| *t > 0).collect();
    latencies.sort_unstable();
    let percentile = |share: f64| latencies[(share * (latencies.len() - 1) as f64) as usize] as f64 / 1000.0;
    println!(
        "{{\"peer\":\"tokio\",\"case\":\"{name}\",\"p50_us\":{:.1},\"p99_us\":{:.1},\"handlers\":{}}}",
        percentile(0.5),
        percentile(0.99),
        latencies.len()
    );
}

pub fn measure_all(seconds: u64) {
    measure("no_tail", Case::NoTail, seconds);
    measure("held", Case::Held, seconds);
    measure("offloaded", Case::Offloaded, seconds);
}
