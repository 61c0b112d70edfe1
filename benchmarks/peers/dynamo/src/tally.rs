//! The measured window, what is counted in it, and the result line.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::options::{Mode, Options};

const PEER: &str = "dynamo";

/// What one caller counted.
#[derive(Default)]
pub struct Tally {
    pub latencies: Vec<u32>, // in units of 100 ns
    pub delays: Vec<u32>,    // likewise
    pub requests: u64,
    pub items: u64,
    pub errors: u64,
    /// Failed calls of mode failover, by how far they came.
    pub failures: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn merge(&mut self, other: Tally) {
        self.latencies.extend(other.latencies);
        self.delays.extend(other.delays);
        self.requests += other.requests;
        self.items += other.items;
        self.errors += other.errors;
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
    }
}

pub fn ticks(duration: Duration) -> u32 {
    (duration.as_nanos() / 100).min(u32::MAX.into()) as u32
}

/// Prints at once: the harness reads the server's CPU clock then.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: the harness has given up.
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the call, and the clocks used here exist.
    unsafe { libc::clock_gettime(id, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// On the clock that all processes share.
pub fn monotonic_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC).as_nanos() as u64
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    cpu: Duration,
}

impl Reading {
    fn now() -> Reading {
        Reading { at: Instant::now(), cpu: clock(libc::CLOCK_PROCESS_CPUTIME_ID) }
    }
}

/// Opened after the warm-up, closed at the end; asked by all callers.
#[derive(Default)]
pub struct Window {
    phase: AtomicU8, // 0 warming up, 1 open, 2 closed
    readings: Mutex<Vec<Reading>>,
}

impl Window {
    fn read(&self) {
        self.readings.lock().expect("nobody panics with it").push(Reading::now());
    }

    pub fn open(&self) {
        self.read();
        self.phase.store(1, Ordering::Relaxed);
        say("measuring");
    }

    pub fn close(&self) {
        self.phase.store(2, Ordering::Relaxed);
        self.read();
        say("measured");
    }

    pub fn recording(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == 1
    }

    pub fn stopped(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == 2
    }

    /// Prints the result line.
    pub fn report(&self, options: &Options, mut tally: Tally) {
        let readings = self.readings.lock().expect("nobody panics with it");
        let [begin, end] = readings[..] else {
            panic!("a window is opened and closed once");
        };
        let seconds = (end.at - begin.at).as_secs_f64();
        let cpu_us = (end.cpu - begin.cpu).as_secs_f64() * 1e6;
        let operations = if tally.items > 0 { tally.items } else { tally.requests };
        tally.latencies.sort_unstable();
        tally.delays.sort_unstable();
        let mut line = json!({
            "peer": PEER,
            "mode": options.mode.name(),
            "concurrency": options.concurrency,
            "requests": tally.requests,
            "items": tally.items,
            "seconds": seconds,
            "requests_per_s": tally.requests as f64 / seconds,
            "items_per_s": tally.items as f64 / seconds,
            "p50_us": percentile(&tally.latencies, 0.5),
            "p90_us": percentile(&tally.latencies, 0.9),
            "p99_us": percentile(&tally.latencies, 0.99),
            "p999_us": percentile(&tally.latencies, 0.999),
            "errors": tally.errors,
            "cpu_client_us_per_op": if operations == 0 { Value::Null } else { json!(cpu_us / operations as f64) },
            "added_delay_p50_us": percentile(&tally.delays, 0.5),
            "added_delay_p99_us": percentile(&tally.delays, 0.99),
        });
        if options.mode == Mode::Bulk {
            line["gb_per_s"] = json!(tally.requests as f64 * f64::from(options.size) / seconds / 1e9);
        }
        for (kind, count) in tally.failures {
            line[kind] = json!(count);
        }
        say(&line.to_string());
    }
}

fn percentile(sorted: &[u32], share: f64) -> Value {
    match sorted.len() {
        0 => Value::Null,
        count => json!(f64::from(sorted[((count - 1) as f64 * share) as usize]) / 10.0),
    }
}

/// Of mode `first`: when the first answer came.
pub fn report_first(answered_ns: u64) {
    say(&json!({"peer": PEER, "answered_ns": answered_ns}).to_string());
}
