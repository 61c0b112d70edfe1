//! The command line: that of every RPC peer, see benchmarks/README.md.

use std::collections::HashMap;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Unary,
    Bulk,
    Stream,
    Paced,
    Idle,
    First,
    Failover,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Unary => "unary",
            Mode::Bulk => "bulk",
            Mode::Stream => "stream",
            Mode::Paced => "paced",
            Mode::Idle => "idle",
            Mode::First => "first",
            Mode::Failover => "failover",
        }
    }

    fn of(name: &str) -> Option<Mode> {
        [
            Mode::Unary,
            Mode::Bulk,
            Mode::Stream,
            Mode::Paced,
            Mode::Idle,
            Mode::First,
            Mode::Failover,
        ]
        .into_iter()
        .find(|mode| mode.name() == name)
    }
}

#[derive(Clone, Copy)]
pub struct Options {
    pub mode: Mode,
    pub concurrency: usize,
    pub seconds: f64,
    pub warmup: f64,
    pub items: u32,
    pub size: u32,
    pub pace_us: u32,
    /// Paced only: the streams start evenly over one pace instead of all at once.
    pub spread: bool,
}

/// What a bulk request is answered with.
pub const BULK_REPLY_SIZE: u32 = 64;

impl Options {
    /// `--port` is taken and not looked at: discovery tells where the server is.
    pub fn parse(arguments: &[String]) -> Result<Options, String> {
        let mut given: HashMap<&str, &str> = HashMap::new();
        for pair in arguments.chunks(2) {
            let [option, value] = pair else {
                return Err(format!("{} needs a value", pair[0]));
            };
            given.insert(option, value);
        }
        let mode = given.remove("--mode").unwrap_or("unary");
        let options = Options {
            mode: Mode::of(mode).ok_or_else(|| format!("no mode '{mode}'"))?,
            concurrency: number(&mut given, "--concurrency", 1)?,
            seconds: number(&mut given, "--seconds", 2.0)?,
            warmup: number(&mut given, "--warmup", 0.4)?,
            items: number(&mut given, "--items", 100)?,
            size: number(&mut given, "--size", 64)?,
            pace_us: number(&mut given, "--pace-us", 0)?,
            spread: number(&mut given, "--spread", 0)? == 1,
        };
        given.remove("--port");
        match given.keys().next() {
            Some(option) => Err(format!("{option} is not known")),
            None => Ok(options),
        }
    }

    pub fn reply_size(&self) -> usize {
        let size = if self.mode == Mode::Bulk { BULK_REPLY_SIZE } else { self.size };
        size as usize
    }

    pub fn pace(&self) -> Duration {
        Duration::from_micros(self.pace_us.into())
    }

    /// How long after the first stream number `slot` starts.
    pub fn start_delay(&self, slot: usize) -> Duration {
        if self.spread { self.pace() * slot as u32 / self.concurrency as u32 } else { Duration::ZERO }
    }
}

fn number<T: std::str::FromStr>(
    given: &mut HashMap<&str, &str>,
    option: &str,
    default: T,
) -> Result<T, String> {
    match given.remove(option) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("{option} needs a number, not '{text}'")),
    }
}
