#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/call_summary.hpp"
#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/input_lines.hpp"
#include "cli/instances.hpp"
#include "cli/line_writer.hpp"
#include "stator/codec/json.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

using namespace std::chrono_literals;

namespace {

constexpr Duration output_grace = 1s;  // for what is not read once the calls were cancelled

/// One run of `stator call`, shared by its callers. Lives in the frame of `make_calls`.
struct CallRun {
    CallRun(
        const CallArguments& arguments_,
        Bytes request_,
        Client client,
        Runtime runtime,
        CancellationToken token_
    )
        : token{std::move(token_)},
          arguments{arguments_},
          request{std::move(request_)},
          core{std::move(client), arguments.mode},
          blocking{runtime.blocking()},
          lines{blocking, STDOUT_FILENO, token} {}

    const CancellationToken token;  // of all callers
    const CallArguments& arguments;
    const Bytes request;
    const RouteCore core;
    BlockingPool& blocking;
    DecodeLimits limits;
    Deadline first_deadline;  // of the first request, whose time includes finding an instance
    LineWriter lines;
    std::atomic<std::uint64_t> begun{0};
    std::atomic<bool> over{false};
};

/// What became of one request.
struct Answer {
    std::uint64_t items = 0;
    InstanceId worker{};
};

/// Sends what the command line says: a request, or the lines of its input.
Stream<Bytes> send(CallRun* run, CallOptions options) {
    const auto& input = run->arguments.input;
    if (input.empty()) return run->core.generate(Context{}, run->request, std::move(options));
    return run->core.generate(
        Context{}, input_items(input, run->limits, &run->blocking), std::move(options)
    );
}

Task<> receive(CallRun* run, Deadline deadline, Answer* answer) {
    CallOptions options;
    options.deadline = deadline;
    options.instance = run->arguments.instance;
    options.plane = run->arguments.plane;
    options.on_accepted = [answer](InstanceId worker) { answer->worker = worker; };
    auto items = send(run, std::move(options));
    while (auto item = co_await items.next()) {
        const auto document = decode_msgpack(item->span(), run->limits);
        if (!document) throw document.error().with_context("decoding an item");
        auto line = encode_json(*document);
        if (!line) throw line.error().with_context("showing an item as JSON");
        ++answer->items;
        co_await run->lines.put(std::move(*line));
    }
}

/// Makes one request after the other until enough have begun, or one was cancelled.
Task<> make_requests(CallRun* run, CallTally* tally) {
    while (!run->over) {
        const auto number = run->begun.fetch_add(1);
        if (number >= run->arguments.count) co_return;
        const auto begin = Clock::current().now();
        const auto deadline =
            number == 0 ? run->first_deadline : Deadline::in(run->arguments.timeout);
        Answer answer;
        const auto ended = co_await as_result(receive(run, deadline, &answer));
        std::optional<Error> error;
        if (!ended) error = ended.error();
        tally->add(Clock::current().now() - begin, answer.items, answer.worker, error);
        if (error && error->code() == ErrorCode::cancelled) run->over = true;
    }
}

/// All requests, spread over the loops; what became of them.
Task<CallTally> make_calls(CallRun* run, Runtime runtime) {
    const auto callers = std::min<std::uint64_t>(run->arguments.concurrency, run->arguments.count);
    std::vector<CallTally> tallies(callers);
    TaskScope writing;
    writing.spawn(run->lines.run());
    TaskScope calling{run->token};
    const auto primary = runtime.primary();
    const auto here = Loop::current()->index();
    for (std::size_t i = 0; i < callers; ++i) {
        calling.spawn_on(
            primary.loop((here + i) % primary.size()), make_requests(run, &tallies[i])
        );
    }
    // A cancellation reaches every caller by itself; each leaves its tally all the same.
    co_await shielded(calling.join());
    const auto unread = run->over ? Deadline::in(output_grace) : Deadline::never();
    const auto flushed = co_await as_result(run->lines.finish(unread));
    co_await shielded(writing.join());
    CallTally all;
    for (const auto& tally : tallies) all.merge(tally);
    const auto& first = all.first_failure();
    // Those that were cancelled because of it do not know why.
    if (!flushed && (!first || first->code() == ErrorCode::cancelled)) throw flushed.error();
    co_return all;
}

/// A bad line of the input is the user's mistake, like a bad request.
Failure failure_of(const Error& error) {
    const bool bad_line =
        error.code() == ErrorCode::invalid_request && error.detail() == "cli.input";
    return bad_line ? Failure::usage(error) : Failure::of(error);
}

Task<std::optional<Failure>> call_in(
    DistributedRuntime cluster, CallArguments arguments, Bytes request
) {
    const auto begin = Clock::current().now();
    const auto first_deadline = Deadline::in(arguments.timeout);
    auto client = co_await client_with_instances(cluster, arguments.endpoint, first_deadline);
    const auto token = (co_await current_token()).child_token();
    CallRun run{arguments, std::move(request), std::move(client), cluster.runtime(), token};
    run.first_deadline = first_deadline;
    run.limits.max_size = cluster.config().mux.max_message_size;
    const auto tally = co_await make_calls(&run, cluster.runtime());
    if (arguments.summary) {
        const auto text = tally.summary(Clock::current().now() - begin);
        std::fwrite(text.data(), 1, text.size(), stderr);
    }
    if (const auto& failure = tally.first_failure()) co_return failure_of(*failure);
    co_return std::nullopt;
}

Result<std::string> read_stdin(std::size_t most) {
    std::string text;
    std::vector<char> block(64U << 10U);
    while (const auto count = std::fread(block.data(), 1, block.size(), stdin)) {
        text.append(block.data(), count);
        if (text.size() > most) {
            return fail(
                ErrorCode::payload_too_large,
                "cli.request",
                fmt::format("the request on stdin is larger than {} bytes", most)
            );
        }
    }
    if (std::ferror(stdin) != 0) {
        return fail(
            ErrorCode::invalid_request, "cli.request", "cannot read the request from stdin"
        );
    }
    return text;
}

/// The request as it travels; nothing if its items come from the input.
Result<Bytes> request_of(const CallArguments& arguments) {
    DecodeLimits limits;
    if (!arguments.input.empty()) {
        if (auto good = check_input_file(arguments.input); !good)
            return std::unexpected{std::move(good).error()};
        return Bytes{};
    }
    std::string text = arguments.request;
    if (text == "-") {
        auto read = read_stdin(limits.max_size);
        if (!read) return std::unexpected{std::move(read).error()};
        text = std::move(*read);
    }
    const auto document = decode_json(text, limits);
    if (!document) return std::unexpected{document.error().with_context("reading the request")};
    return encode_msgpack(*document);
}

}  // namespace

int call(const CallArguments& arguments) {
    auto request = request_of(arguments);
    if (!request) {
        const bool too_large = request.error().code() == ErrorCode::payload_too_large;
        return report(too_large ? Failure::of(request.error()) : Failure::usage(request.error()));
    }
    return run_in_cluster({}, [&](DistributedRuntime cluster) {
        return call_in(std::move(cluster), arguments, *request);
    });
}

}  // namespace stator::cli
