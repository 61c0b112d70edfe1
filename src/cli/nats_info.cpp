// stator nats info: what the server says of itself, how far away it is, and who serves there.
#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "cli/line_writer.hpp"
#include "cli/table.hpp"
#include "stator/codec/json.hpp"
#include "stator/nats/jetstream.hpp"
#include "stator/net/address.hpp"
#include "stator/net/stream.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

namespace {

using namespace std::chrono_literals;
using nlohmann::ordered_json;

constexpr std::size_t longest_greeting = std::size_t{64} << 10U;
constexpr int round_trips = 5;
/// Nobody knows how many services there are: those that answer in time.
constexpr Duration services_time = 300ms;

struct Service {
    std::string name;
    std::string id;
    std::uint64_t endpoints = 0;
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
    Document data = Document::object();  ///< what endpoints tell of themselves, by their names
};

struct Findings {
    std::string url;
    Document greeting;
    bool jetstream = false;
    Duration round_trip{};
    std::size_t max_payload = 0;
    std::vector<Service> services;
};

/// The host and port in "nats://user:password@host:port"; 4222 unless it says another port.
Result<net::Address> address_in(std::string_view url) {
    if (const auto at = url.find("://"); at != url.npos) url.remove_prefix(at + 3);
    if (const auto at = url.rfind('@'); at != url.npos) url.remove_prefix(at + 1);
    if (url.ends_with('/')) url.remove_suffix(1);
    const bool has_port = url.rfind(':') != url.npos && !url.ends_with(']');
    return net::Address::parse(has_port ? std::string{url} : fmt::format("{}:4222", url));
}

/// The line "INFO {...}" with which a server greets everybody, before TLS and before it knows who
/// it is.
Task<Document> greeting_of(std::string url) {
    auto address = address_in(url);
    if (!address) throw address.error();
    const auto stream = co_await net::dial(std::move(*address));
    std::string text;
    while (text.find('\n') == text.npos && text.size() < longest_greeting) {
        std::array<char, 4096> block{};
        const std::array<iovec, 1> space{iovec{block.data(), block.size()}};
        const auto size = co_await stream->read_some(space);
        if (size == 0) break;
        text.append(block.data(), size);
    }
    stream->close();
    const auto end = text.find_first_of("\r\n");
    constexpr std::string_view start = "INFO ";
    if (!text.starts_with(start) || end == text.npos)
        throw Error{ErrorCode::protocol, "cli.nats_greeting", url + " does not greet as NATS does"};
    auto document = decode_json(std::string_view{text}.substr(start.size(), end - start.size()));
    if (!document) throw document.error();
    co_return std::move(*document);
}

std::uint64_t number_in(const Document& of, const char* name) {
    const auto found = of.find(name);
    return found != of.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::string text_in(const Document& of, const char* name) {
    const auto found = of.find(name);
    return found != of.end() && found->is_string() ? found->get<std::string>() : "";
}

void add_service(std::vector<Service>& to, const nats::Message& answer) {
    const auto document = decode_json(answer.payload.view());
    if (!document || !document->is_object()) return;
    Service service{.name = text_in(*document, "name"), .id = text_in(*document, "id")};
    const auto endpoints = document->find("endpoints");
    if (endpoints != document->end() && endpoints->is_array()) {
        for (const auto& endpoint : *endpoints) {
            if (!endpoint.is_object()) continue;
            ++service.endpoints;
            service.requests += number_in(endpoint, "num_requests");
            service.errors += number_in(endpoint, "num_errors");
            const auto data = endpoint.find("data");
            if (data != endpoint.end() && !data->is_null())
                service.data[text_in(endpoint, "name")] = *data;
        }
    }
    to.push_back(std::move(service));
}

Task<std::vector<Service>> services_at(nats::Client client) {
    const auto inbox = nats::Client::new_inbox();
    const auto answers = co_await client.subscribe({.subjects = {inbox}});
    auto asked = client.publish({.subject = "$SRV.STATS", .reply = inbox});
    if (!asked) throw asked.error();
    std::vector<Service> found;
    const auto until = Deadline::in(services_time);
    while (!until.passed()) {
        const auto answer = co_await as_result(with_deadline(until, answers.next()));
        if (!answer && answer.error().code() != ErrorCode::deadline_exceeded) throw answer.error();
        if (!answer || !*answer || (*answer)->status != 0) break;
        add_service(found, **answer);
    }
    std::ranges::sort(found, {}, [](const Service& each) { return std::pair{each.name, each.id}; });
    co_return found;
}

Task<Duration> round_trip_to(nats::Client client) {
    auto best = Duration::max();
    for (int i = 0; i < round_trips; ++i) {
        const auto begun = Clock::current().now();
        co_await client.flush(Deadline::in(5s));
        best = std::min(best, Clock::current().now() - begun);
    }
    co_return best;
}

Task<Findings> look(nats::Client client) {
    Findings found;
    found.url = client.server();
    found.max_payload = client.max_payload();
    found.greeting = co_await greeting_of(found.url);
    found.round_trip = co_await round_trip_to(client);
    // A server without it says nothing of it, and nobody answers.
    found.jetstream = co_await nats::JetStream{client}.available(Deadline::in(5s));
    found.services = co_await services_at(client);
    co_return found;
}

double milliseconds(Duration time) {
    return std::chrono::duration<double, std::milli>{time}.count();
}

/// What others have sent may be no text.
std::string printed_as(const ordered_json& document) {
    return document.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string json_of(const Findings& found) {
    ordered_json services = ordered_json::array();
    for (const auto& service : found.services)
        services.push_back(
            {{"name", service.name},
             {"id", service.id},
             {"endpoints", service.endpoints},
             {"requests", service.requests},
             {"errors", service.errors},
             {"data", service.data}}
        );
    const ordered_json object{
        {"server", found.url},
        {"name", text_in(found.greeting, "server_name")},
        {"version", text_in(found.greeting, "version")},
        {"jetstream", found.jetstream},
        {"round_trip_ms", milliseconds(found.round_trip)},
        {"max_payload", found.max_payload},
        {"services", std::move(services)},
    };
    return printed_as(object) + "\n";
}

std::string text_of(const Findings& found) {
    std::vector<std::vector<std::string>> rows{
        {"server", found.url},
        {"name", text_in(found.greeting, "server_name")},
        {"version", text_in(found.greeting, "version")},
        {"jetstream", found.jetstream ? "yes" : "no"},
        {"round trip", fmt::format("{:.3f} ms", milliseconds(found.round_trip))},
        {"max payload", fmt::format("{} bytes", found.max_payload)},
        {"services", std::to_string(found.services.size())},
    };
    auto text = aligned(rows);
    if (found.services.empty()) return text;
    rows = {{"SERVICE", "ID", "ENDPOINTS", "REQUESTS", "ERRORS"}};
    for (const auto& service : found.services)
        rows.push_back(
            {service.name,
             service.id,
             std::to_string(service.endpoints),
             std::to_string(service.requests),
             std::to_string(service.errors)}
        );
    text += "\n" + aligned(rows);
    rows = {{"ENDPOINT", "DATA"}};
    for (const auto& service : found.services) {
        for (const auto& [endpoint, data] : service.data.items())
            rows.push_back({endpoint, printed_as(data)});
    }
    return rows.size() == 1 ? text : text + "\n" + aligned(rows);
}

Task<std::optional<Failure>> tell(
    Runtime runtime, nats::ClientOptions options, NatsInfoArguments arguments
) {
    options.startup_timeout = std::min(options.startup_timeout, arguments.timeout);
    const auto client =
        co_await nats::Client::connect(runtime.secondary().loop(0), std::move(options));
    const auto found =
        co_await as_result(with_deadline(Deadline::in(arguments.timeout), look(client)));
    (void)co_await as_result(shielded(client.close(Deadline::in(1s))));
    if (!found) throw found.error();
    const auto printed = print(arguments.json ? json_of(*found) : text_of(*found));
    if (!printed) co_return Failure{status_failed, printed.error()};
    co_return std::nullopt;
}

}  // namespace

int nats_info(const NatsInfoArguments& arguments) {
    return run_in_runtime({}, [&](Runtime runtime, const settings::Settings& settings) {
        auto options = nats::ClientOptions::from_settings(settings.nats);
        if (!options) throw options.error();
        return tell(std::move(runtime), std::move(*options), arguments);
    });
}

}  // namespace stator::cli
