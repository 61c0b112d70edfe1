//! The worker: the endpoints that `stator_bench_rpc` has, with the same types, so that either
//! client can call either server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use dynamo_runtime::pipeline::network::Ingress;
use dynamo_runtime::pipeline::{
    AsyncEngine, AsyncEngineContextProvider, Error, ManyOut, ResponseStream, SingleIn, async_trait,
};
use dynamo_runtime::protocols::annotated::Annotated;
use dynamo_runtime::{DistributedRuntime, Runtime};
use futures::{Stream, StreamExt, stream};
use tokio::time::{Instant, sleep_until};

use crate::options::BULK_REPLY_SIZE;
use crate::tally::say;
use crate::{BULK, COMPONENT, HOLD, NAMESPACE, STREAM, UNARY};

type Item = Annotated<String>;
type Handler<T> = fn(T) -> Vec<Item>;

/// Answers with items that are there at once: the best case for the original.
struct Ready<T>(Handler<T>);

#[async_trait]
impl AsyncEngine<SingleIn<String>, ManyOut<Item>, Error> for Ready<String> {
    async fn generate(&self, request: SingleIn<String>) -> Result<ManyOut<Item>, Error> {
        let (body, context) = request.into_parts();
        Ok(ResponseStream::new(Box::pin(stream::iter((self.0)(body))), context.context()))
    }
}

/// The request is [items, size, pace_us].
struct Items;

#[async_trait]
impl AsyncEngine<SingleIn<Vec<u32>>, ManyOut<Item>, Error> for Items {
    async fn generate(&self, request: SingleIn<Vec<u32>>) -> Result<ManyOut<Item>, Error> {
        let (request, context) = request.into_parts();
        let [items, size, pace_us] = request[..] else {
            anyhow::bail!("expected [items, size, pace_us]");
        };
        let item = "x".repeat(size as usize);
        let ready = stream::iter((0..items).map(move |_| Item::from_data(item.clone())));
        let items: std::pin::Pin<Box<dyn Stream<Item = Item> + Send>> = match pace_us {
            0 => Box::pin(ready),
            _ => Box::pin(paced(ready, Duration::from_micros(pace_us.into()))),
        };
        Ok(ResponseStream::new(items, context.context()))
    }
}

/// Item k leaves k + 1 paces from now.
fn paced(items: impl Stream<Item = Item> + Send, pace: Duration) -> impl Stream<Item = Item> + Send {
    let began = Instant::now();
    items.enumerate().then(move |(index, item)| async move {
        sleep_until(began + pace * (index as u32 + 1)).await;
        item
    })
}

/// One item, then nothing until the caller has gone.
struct Hold;

#[async_trait]
impl AsyncEngine<SingleIn<String>, ManyOut<Item>, Error> for Hold {
    async fn generate(&self, request: SingleIn<String>) -> Result<ManyOut<Item>, Error> {
        let (item, context) = request.into_parts();
        let items = stream::iter([Item::from_data(item)]).chain(stream::pending());
        Ok(ResponseStream::new(Box::pin(items), context.context()))
    }
}

macro_rules! start {
    ($cluster:expr, $name:expr, $engine:expr) => {{
        let endpoint = $cluster.namespace(NAMESPACE)?.component(COMPONENT)?.endpoint($name);
        let served = endpoint.endpoint_builder().handler(Ingress::for_engine(Arc::new($engine))?);
        tokio::spawn(served.start())
    }};
}

/// Until SIGTERM.
pub async fn serve(runtime: Runtime) -> Result<()> {
    let cluster = DistributedRuntime::from_settings(runtime).await?;
    let serving = [
        start!(cluster, UNARY, Ready::<String>(|body| vec![Item::from_data(body)])),
        start!(cluster, BULK, Ready::<String>(|_| {
            vec![Item::from_data("x".repeat(BULK_REPLY_SIZE as usize))]
        })),
        start!(cluster, STREAM, Items),
        start!(cluster, HOLD, Hold),
    ];
    for name in [UNARY, BULK, STREAM, HOLD] {
        let endpoint = cluster.namespace(NAMESPACE)?.component(COMPONENT)?.endpoint(name);
        endpoint.client().await?.wait_for_instances().await?;
    }
    say("listening by discovery");
    for one in serving {
        one.await??;
    }
    Ok(())
}
