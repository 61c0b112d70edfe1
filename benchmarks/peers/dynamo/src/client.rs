//! The caller: closed loops of calls, as benchmarks/README.md describes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use dynamo_runtime::pipeline::{ManyOut, PushRouter, RouterMode};
use dynamo_runtime::protocols::annotated::Annotated;
use dynamo_runtime::{DistributedRuntime, Runtime};
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::options::{Mode, Options};
use crate::tally::{Tally, Window, monotonic_ns, report_first, say, ticks};
use crate::{BULK, COMPONENT, HOLD, NAMESPACE, STREAM, UNARY};

const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// Of held streams: so many at a time wait for their item.
const MOST_OPENING: usize = 512;

type Item = Annotated<String>;
type Texts = PushRouter<String, Item>;
type Numbers = PushRouter<Vec<u32>, Item>;

macro_rules! router {
    ($cluster:expr, $name:expr) => {{
        let endpoint = $cluster.namespace(NAMESPACE)?.component(COMPONENT)?.endpoint($name);
        let client = endpoint.client().await?;
        client.wait_for_instances().await?;
        PushRouter::from_client(client, RouterMode::RoundRobin).await?
    }};
}

struct Load {
    options: Options,
    window: Window,
    texts: Texts,
    numbers: Numbers,
    body: String,
}

/// The item's text; an error item is an error.
fn text_of(item: Item) -> Result<String> {
    match item.data {
        Some(text) => Ok(text),
        None => bail!("an item without data: {:?}", item.event),
    }
}

async fn single(mut reply: ManyOut<Item>) -> Result<String> {
    let Some(item) = reply.next().await else {
        bail!("no item");
    };
    let text = text_of(item)?;
    match reply.next().await {
        Some(_) => bail!("a second item"),
        None => Ok(text),
    }
}

impl Load {
    async fn call_text(&self, tally: &mut Tally) -> Result<()> {
        let issued = Instant::now();
        let text = single(self.texts.round_robin(self.body.clone().into()).await?).await?;
        if text.len() != self.options.reply_size() {
            tally.errors += 1;
        }
        if self.window.recording() {
            tally.requests += 1;
            tally.latencies.push(ticks(issued.elapsed()));
        }
        Ok(())
    }

    async fn call_stream(&self, tally: &mut Tally) -> Result<()> {
        let Options { mode, items, size, pace_us, .. } = self.options;
        let issued = Instant::now();
        let mut reply = self.numbers.round_robin(vec![items, size, pace_us].into()).await?;
        let mut received = 0;
        while let Some(item) = reply.next().await {
            if text_of(item)?.len() != size as usize {
                tally.errors += 1;
            }
            received += 1;
            if self.window.recording() {
                tally.items += 1;
                if mode == Mode::Paced {
                    let due = issued + self.options.pace() * received;
                    tally.delays.push(ticks(Instant::now().saturating_duration_since(due)));
                }
            }
        }
        if received != items {
            tally.errors += 1;
        }
        if self.window.recording() {
            tally.requests += 1;
            tally.latencies.push(ticks(issued.elapsed()));
        }
        Ok(())
    }

    async fn call(&self, tally: &mut Tally) -> Result<()> {
        match self.options.mode {
            Mode::Unary | Mode::Bulk => self.call_text(tally).await,
            _ => self.call_stream(tally).await,
        }
    }

    async fn run(self: Arc<Self>, slot: usize) -> Tally {
        let mut tally = Tally::default();
        sleep(self.options.start_delay(slot)).await;
        while !self.window.stopped() {
            if self.options.mode == Mode::Failover {
                self.count_failure(&mut tally).await;
            } else if let Err(error) = self.call(&mut tally).await {
                tally.errors += 1;
                eprintln!("error: {error:#}");
            }
        }
        tally
    }

    /// Of mode failover: whether the answer had begun when the call failed.
    async fn count_failure(&self, tally: &mut Tally) {
        let kind = match self.texts.round_robin(self.body.clone().into()).await {
            Err(_) => "failed_unaccepted",
            Ok(reply) => match single(reply).await {
                Err(_) => "failed_accepted",
                Ok(_) => {
                    tally.requests += u64::from(self.window.recording());
                    return;
                }
            },
        };
        *tally.failures.entry(kind).or_default() += 1;
    }
}

async fn measure_load(cluster: &DistributedRuntime, options: Options) -> Result<()> {
    let texts = if options.mode == Mode::Bulk { BULK } else { UNARY };
    let load = Arc::new(Load {
        options,
        window: Window::default(),
        texts: router!(cluster, texts),
        numbers: router!(cluster, STREAM),
        body: "x".repeat(options.size as usize),
    });
    let mut callers = JoinSet::new();
    for slot in 0..options.concurrency {
        callers.spawn(load.clone().run(slot));
    }
    sleep(Duration::from_secs_f64(options.warmup)).await;
    load.window.open();
    sleep(Duration::from_secs_f64(options.seconds)).await;
    load.window.close();
    let mut tally = Tally::default();
    if options.mode == Mode::Failover {
        tally.failures.insert("failed_unaccepted", 0);
        tally.failures.insert("failed_accepted", 0);
    }
    let all = async {
        while let Some(ended) = callers.join_next().await {
            tally.merge(ended?);
        }
        anyhow::Ok(())
    };
    if let Ok(ended) = timeout(DRAIN_LIMIT, all).await {
        ended?;
    }
    tally.errors += callers.len() as u64;
    load.window.report(&options, tally);
    Ok(())
}

/// Opens streams between the two marks, then holds them while the harness looks.
async fn measure_idle(cluster: &DistributedRuntime, options: Options) -> Result<()> {
    let unary: Texts = router!(cluster, UNARY);
    let held: Texts = router!(cluster, HOLD);
    let body = "x".repeat(options.size as usize);
    single(unary.round_robin(body.clone().into()).await?).await?;
    sleep(Duration::from_secs_f64(options.warmup)).await;
    let window = Window::default();
    let opening = Arc::new(Semaphore::new(MOST_OPENING));
    let mut streams = JoinSet::new();
    window.open();
    for _ in 0..options.concurrency {
        let (held, body, opening) = (held.clone(), body.clone(), opening.clone());
        streams.spawn(async move {
            let _permit = opening.acquire().await?;
            let issued = Instant::now();
            let mut items = held.round_robin(body.into()).await?;
            match items.next().await {
                Some(item) => text_of(item).map(|_| (items, issued.elapsed())),
                None => bail!("no item"),
            }
        });
    }
    let mut open = Vec::with_capacity(options.concurrency);
    let mut tally = Tally::default();
    while let Some(opened) = streams.join_next().await {
        match opened? {
            Ok((items, took)) => {
                open.push(items);
                tally.requests += 1;
                tally.latencies.push(ticks(took));
            }
            Err(error) => {
                tally.errors += 1;
                eprintln!("error: {error:#}");
            }
        }
    }
    window.close();
    sleep(Duration::from_secs_f64(options.seconds)).await;
    window.report(&options, tally);
    // The streams end with the process.
    std::process::exit(0);
}

async fn measure_first(cluster: &DistributedRuntime, options: Options) -> Result<()> {
    let endpoint = cluster.namespace(NAMESPACE)?.component(COMPONENT)?.endpoint(UNARY);
    let client = endpoint.client().await?;
    say("waiting");
    client.wait_for_instances().await?;
    let router = Texts::from_client(client, RouterMode::RoundRobin).await?;
    single(router.round_robin("x".repeat(options.size as usize).into()).await?).await?;
    report_first(monotonic_ns());
    Ok(())
}

pub async fn measure(runtime: Runtime, options: Options) -> Result<()> {
    let cluster = DistributedRuntime::from_settings(runtime.clone()).await?;
    match options.mode {
        Mode::First => measure_first(&cluster, options).await?,
        Mode::Idle => measure_idle(&cluster, options).await?,
        _ => measure_load(&cluster, options).await?,
    }
    runtime.shutdown();
    Ok(())
}
