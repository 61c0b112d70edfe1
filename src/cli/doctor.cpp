#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/diagnosis.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "stator/net/security.hpp"
#include "stator/net/stream.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/transport/dynamo_call.hpp"
#include "stator/transport/mux_pool.hpp"

namespace stator::cli {

namespace {

using discovery::Instance;
using Findings = std::vector<Finding>;

constexpr Duration patience = std::chrono::seconds{2};  // with each step at each peer
// Served by nobody: a worker that speaks Dynamo's plane refuses it, and no handler runs.
constexpr std::string_view nobody = "stator-doctor/asks/whether/you-are-there";

std::string after(TimePoint begin) {
    const std::chrono::duration<double, std::milli> time = Clock::current().now() - begin;
    return fmt::format("{:.1f} ms", time.count());
}

Task<> dial_and_close(net::Security security, net::Address address) {
    const auto stream = co_await security.dial(std::move(address));
    stream->close();
}

/// Whether anybody listens there at all, and shakes hands where we speak TLS.
Task<Finding> check_address(net::Security security, std::string place) {
    const auto address = net::Address::parse(place);
    if (!address) co_return Finding{Verdict::bad, "address", place, address.error().what()};
    const auto begin = Clock::current().now();
    const auto dialled = co_await as_result(
        with_deadline(Deadline::in(patience), dial_and_close(std::move(security), *address))
    );
    if (dialled) co_return Finding{Verdict::good, "address", place, "connected in " + after(begin)};
    std::string message = dialled.error().what();
    if (address->host == "127.0.0.1" || address->host == "::1")
        message += "; a loopback address reaches processes of the same machine only";
    co_return Finding{Verdict::bad, "address", place, std::move(message)};
}

Task<> shake_hands(net::Security security, std::string place) {
    transport::MuxPool pool{{.security = std::move(security)}};
    const auto connected = co_await as_result(pool.connect(std::move(place)));
    co_await shielded(pool.close());
    if (!connected) throw connected.error();
}

Task<Finding> check_mux(net::Security security, std::string place) {
    const auto begin = Clock::current().now();
    const auto spoken = co_await as_result(
        with_deadline(Deadline::in(patience), shake_hands(std::move(security), place))
    );
    if (spoken)
        co_return Finding{Verdict::good, "mux", place, "answered the handshake in " + after(begin)};
    co_return Finding{Verdict::bad, "mux", place, spoken.error().what()};
}

/// Returns once the worker has refused a request that nobody serves, in the plane's own terms.
Task<> be_refused(DistributedRuntime cluster, transport::DynamoPool* pool, Instance instance) {
    const auto home = co_await cluster.tcp_server();
    auto connection = co_await pool->connect(std::string{instance.transport.host_port()});
    transport::DynamoCall call{std::move(connection), home, nobody, instance.codec()};
    transport::CallHead head;
    head.path = nobody;
    head.request = RequestId::random();
    head.codec = static_cast<std::uint8_t>(PayloadCodec::json);
    if (auto sent = call.open(head, Bytes::copy_of("null")); !sent) throw sent.error();
    (void)co_await call.accepted();
    if (call.fate() == transport::CallFate::refused) co_return;
    throw call.error().value_or(
        Error{ErrorCode::protocol, "cli.doctor", "it accepted a request that nobody serves"}
    );
}

Task<> ask_nobody(DistributedRuntime cluster, Instance instance) {
    transport::DynamoPool pool{{.security = cluster.config().security}};
    const auto refused =
        co_await as_result(be_refused(std::move(cluster), &pool, std::move(instance)));
    co_await shielded(pool.close());
    if (!refused) throw refused.error();
}

Task<Finding> check_dynamo(DistributedRuntime cluster, Instance instance) {
    const std::string place{instance.transport.host_port()};
    const auto begin = Clock::current().now();
    const auto asked = co_await as_result(
        with_deadline(Deadline::in(patience), ask_nobody(std::move(cluster), std::move(instance)))
    );
    if (asked)
        co_return Finding{Verdict::good, "dynamo", place, "answered a request in " + after(begin)};
    co_return Finding{Verdict::bad, "dynamo", place, asked.error().what()};
}

/// Everything that can be asked of a peer over the network.
Task<Findings> visit(DistributedRuntime cluster, Instance instance) {
    Findings findings;
    const auto& security = cluster.config().security;
    const bool tcp = instance.transport.kind == discovery::TransportKind::tcp;
    const std::string numeric{tcp ? instance.transport.host_port() : std::string_view{}};
    const auto mux = instance.mux ? instance.mux->address : std::string{};
    if (instance.mux) {
        if (const auto suited = security.suits(mux, instance.mux->tls); !suited)
            findings.push_back({Verdict::bad, "tls", mux, suited.error().what()});
    }
    bool reachable = false;
    for (const auto& place : {numeric, mux == numeric ? std::string{} : mux}) {
        if (place.empty()) continue;
        findings.push_back(co_await check_address(security, place));
        reachable = reachable || findings.back().verdict == Verdict::good;
    }
    if (!reachable) co_return findings;
    if (!mux.empty()) findings.push_back(co_await check_mux(security, mux));
    if (tcp) findings.push_back(co_await check_dynamo(std::move(cluster), std::move(instance)));
    co_return findings;
}

bool is_wanted(const std::optional<EndpointId>& endpoint, std::string_view key) {
    return !endpoint || key.starts_with(discovery::instances_prefix(*endpoint));
}

Task<Findings> examine(DistributedRuntime cluster, std::optional<EndpointId> endpoint) {
    const auto& store = cluster.discovery().store();
    const auto entries = co_await store->list(std::string{discovery::instances_bucket} + '/');
    Findings findings{
        {Verdict::good,
         "store",
         std::string{store->backend()},
         fmt::format("records of instances: {}", entries.size())}
    };
    std::vector<EndpointId> known;
    std::vector<Task<Findings>> visits;
    bool found = false;
    for (const auto& entry : entries) {
        if (const auto key = discovery::parse_instance_key(entry.key))
            known.push_back(key->endpoint);
        if (!is_wanted(endpoint, entry.key)) continue;
        found = true;
        auto examined = examine_record(entry.key, entry.value);
        std::ranges::move(examined.findings, std::back_inserter(findings));
        if (examined.instance) visits.push_back(visit(cluster, std::move(*examined.instance)));
    }
    if (endpoint && !found) findings.push_back(nobody_serves(*endpoint, known));
    for (auto& visited : co_await when_all(std::move(visits)))
        std::ranges::move(visited, std::back_inserter(findings));
    co_return findings;
}

Task<std::optional<Failure>> examine_in(DistributedRuntime cluster, DoctorArguments arguments) {
    const auto findings = co_await examine(std::move(cluster), std::move(arguments.endpoint));
    const auto text = arguments.json ? as_json(findings) : as_table(findings);
    if (auto printed = print(text); !printed) co_return Failure{status_failed, printed.error()};
    if (!any_bad(findings)) co_return std::nullopt;
    co_return Failure{
        status_failed, Error{ErrorCode::unavailable, "cli.doctor", "something is wrong, see above"}
    };
}

}  // namespace

int doctor(const DoctorArguments& arguments) {
    return run_in_cluster({}, [&](DistributedRuntime cluster) {
        return examine_in(std::move(cluster), arguments);
    });
}

}  // namespace stator::cli
