//! The original, crate `dynamo-runtime`, as one of the RPC peers: its public API with its defaults,
//! found through file discovery. Without a log subscriber, which is its cheapest setting.

mod client;
mod local;
mod options;
mod server;
mod tally;

use dynamo_runtime::Worker;

const NAMESPACE: &str = "bench";
const COMPONENT: &str = "peer";
const UNARY: &str = "echo";
const STREAM: &str = "stream";
const BULK: &str = "bulk";
const HOLD: &str = "hold";

const USAGE: &str = "usage: bench_peer_dynamo serve | client --mode unary|bulk|stream|paced|idle|first|failover ... | local [--repetitions N]";

fn fail(problem: &str) -> ! {
    eprintln!("error: {problem}");
    std::process::exit(2);
}

/// An odd number keeps the median a sample; nothing for what is no number above 0.
fn repetitions(arguments: &[String]) -> Option<usize> {
    match arguments {
        [] => Some(11),
        [option, count] if option == "--repetitions" => count.parse().ok().filter(|count| *count > 0),
        _ => None,
    }
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => Worker::from_settings()?.execute(server::serve),
        Some("client") => match options::Options::parse(&arguments[1..]) {
            Ok(options) => {
                Worker::from_settings()?.execute(move |runtime| client::measure(runtime, options))
            }
            Err(problem) => fail(&problem),
        },
        Some("local") => match repetitions(&arguments[1..]) {
            Some(repetitions) => local::measure_all(repetitions),
            None => fail(USAGE),
        },
        _ => fail(USAGE),
    }
}
