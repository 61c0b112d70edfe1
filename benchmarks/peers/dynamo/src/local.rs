//! What an operator of the original's pipelines costs, on a multi-thread runtime with one worker.
//!
//! The same operations as ours, see benchmarks/README.md: a service that counts, and operators that
//! pass on what they get.

use std::sync::Arc;
use std::time::Instant;

use dynamo_runtime::engine::ResponseStream;
use dynamo_runtime::pipeline::{
    AsyncEngine, AsyncEngineContextProvider, Error, ManyOut, Operator, ServiceBackend,
    ServiceEngine, ServiceFrontend, SingleIn, Source, async_trait,
};
use futures::{StreamExt, stream};
use tokio::runtime::Builder;

type Request = SingleIn<u64>;
type Answer = ManyOut<u64>;
type Service = ServiceEngine<Request, Answer>;

const DEPTHS: [usize; 4] = [0, 1, 4, 16];
const DEEPEST: usize = DEPTHS[3];
const REQUESTS: u64 = 20_000;
const ITEMS: u64 = 300_000;

struct CountTo;

#[async_trait]
impl AsyncEngine<Request, Answer, Error> for CountTo {
    async fn generate(&self, request: Request) -> Result<Answer, Error> {
        let (last, rest) = request.transfer(());
        Ok(ResponseStream::new(Box::pin(stream::iter(1..=last)), rest.context()))
    }
}

struct Passing;

#[async_trait]
impl Operator<Request, Answer, Request, Answer> for Passing {
    async fn generate(
        &self,
        request: Request,
        next: Arc<dyn AsyncEngine<Request, Answer, Error>>,
    ) -> Result<Answer, Error> {
        let numbers = next.generate(request).await?;
        let context = numbers.context();
        Ok(ResponseStream::new(Box::pin(numbers.map(|number| number)), context))
    }
}

fn pipeline_of(depth: usize) -> anyhow::Result<Service> {
    let frontend = ServiceFrontend::<Request, Answer>::new();
    let backend = ServiceBackend::from_engine(Arc::new(CountTo));
    let operators: Vec<_> = (0..depth).map(|_| Arc::new(Passing).into_operator()).collect();
    let Some((first, others)) = operators.split_first() else {
        return Ok(frontend.link(backend)?.link_terminal(frontend)?);
    };
    let mut forward = frontend.link(first.forward_edge())?;
    for operator in others {
        forward = forward.link(operator.forward_edge())?;
    }
    let backend = forward.link(backend)?;
    let mut operators = operators.iter().rev();
    let last = operators.next().expect("there is a first one");
    let mut backward = backend.link(last.backward_edge())?;
    for operator in operators {
        backward = backward.link(operator.backward_edge())?;
    }
    Ok(backward.link_terminal(frontend)?)
}

/// Per request or, of one long answer, per item.
async fn ns_of(service: Service, times: u64, last: u64) -> anyhow::Result<f64> {
    let mut sum = 0;
    let started = Instant::now();
    for _ in 0..times {
        let mut numbers = service.generate(last.into()).await?;
        while let Some(number) = numbers.next().await {
            sum += number;
        }
    }
    let taken = started.elapsed().as_nanos() as f64;
    anyhow::ensure!(sum == times * (last * (last + 1) / 2), "items were lost");
    Ok(taken / (times * last) as f64)
}

/// The median, and what it was taken from.
fn report(operation: &str, mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let median = samples[samples.len() / 2];
    crate::tally::say(&format!(
        "{{\"peer\":\"dynamo\",\"runtime\":\"one_worker\",\"operation\":\"{operation}\",\"ns\":{median:.2},\
         \"min_ns\":{:.2},\"max_ns\":{:.2},\"repetitions\":{}}}",
        samples[0],
        samples[samples.len() - 1],
        samples.len(),
    ));
    median
}

/// What one more operator adds, where there are 16 of them against none.
fn report_added(operation: &str, none: &[f64], deepest: &[f64]) {
    let added = none.iter().zip(deepest).map(|(without, with)| (with - without) / DEEPEST as f64);
    report(operation, added.collect());
}

pub fn measure_all(repetitions: usize) -> anyhow::Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for (operation, added, times, last) in [
        ("pipeline_request", "operator_request", REQUESTS, 1),
        ("pipeline_item", "operator_item", 1, ITEMS),
    ] {
        let mut by_depth = Vec::new();
        for depth in DEPTHS {
            let once = || {
                let service = pipeline_of(depth)?;
                // Inside a task, so that what it wakes stays on the thread that runs it.
                runtime.block_on(runtime.spawn(ns_of(service, times, last)))?
            };
            once()?; // fills free lists
            let samples = (0..repetitions).map(|_| once()).collect::<anyhow::Result<Vec<_>>>()?;
            report(&format!("{operation}_{depth}"), samples.clone());
            by_depth.push(samples);
        }
        report_added(added, &by_depth[0], &by_depth[DEPTHS.len() - 1]);
    }
    Ok(())
}
