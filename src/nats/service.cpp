#include "stator/nats/service.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/names.hpp"
#include "stator/codec/json.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::nats {

namespace {

/// For the server to know that nobody is here any more.
constexpr auto drain_time = std::chrono::seconds{1};
constexpr std::size_t most_questions = 1024;
constexpr std::string_view prefix = "$SRV.";
constexpr std::string_view type_prefix = "io.nats.micro.v1.";

/// "2026-11-22T01:04:17.421866072Z"
std::string now_text() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
    const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(now - seconds);
    const std::time_t time = seconds.count();
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", parts, rest.count());
}

std::string text_of(const Document& document) {
    // What an endpoint gives may be no text at all.
    return encode_json(document).value_or("{}");
}

/// As the original's library makes it.
std::string name_of(std::string subject) {
    std::ranges::replace(subject, '.', '-');
    return subject;
}

Task<Document> stats_of(ServiceEndpoint of) {
    const auto endpoint = std::move(of);
    const auto counts = endpoint.counts ? endpoint.counts() : ServiceCounts{};
    Document made{
        {"name", name_of(endpoint.subject)},
        {"subject", endpoint.subject},
        {"num_requests", counts.requests},
        {"num_errors", counts.errors},
        {"processing_time", counts.processing_ns},
        {"average_processing_time",
         counts.requests == 0 ? 0 : counts.processing_ns / counts.requests},
        {"last_error", counts.last_error},
    };
    if (endpoint.data) {
        const auto text = co_await endpoint.data();
        if (auto data = decode_json(text); data && !text.empty()) made["data"] = std::move(*data);
    }
    made["queue_group"] = endpoint.queue_group;
    co_return made;
}

}  // namespace

std::string service_name(std::string_view ns, std::string_view component) {
    return Slug::from_text(fmt::format("{}_{}", ns, component)).text();
}

Service::Service(Client client, Options options)
    : client_{std::move(client)},
      options_{std::move(options)},
      id_{Client::new_inbox().substr(std::string_view{"_INBOX."}.size())},
      started_{now_text()} {}

Service::~Service() = default;

/// Each also with the name, and with name and id.
SubscribeOptions Service::questions(std::initializer_list<std::string_view> verbs) const {
    SubscribeOptions wanted;
    for (const auto verb : verbs) {
        const auto all = fmt::format("{}{}", prefix, verb);
        wanted.subjects.push_back(all);
        wanted.subjects.push_back(fmt::format("{}.{}", all, options_.name));
        wanted.subjects.push_back(fmt::format("{}.{}.{}", all, options_.name, id_));
    }
    wanted.most_messages = most_questions;
    return wanted;
}

Task<std::shared_ptr<Service>> Service::start(Client client, Options options) {
    std::shared_ptr<Service> service{new Service{std::move(client), std::move(options)}};
    const auto& of = service->client_;
    service->of_itself_ = co_await of.subscribe(service->questions({"PING", "INFO"}));
    service->of_stats_ = co_await of.subscribe(service->questions({"STATS"}));
    service->scope_.spawn_on(of.loop(), service->tell_what_it_is());
    service->scope_.spawn_on(of.loop(), service->tell_how_it_does());
    co_return service;
}

void Service::answer(std::string reply, const std::string& text) const {
    Publication made;
    made.subject = std::move(reply);
    made.payload = Bytes::copy_of(text);
    (void)client_.publish(std::move(made));
}

Task<> Service::tell_what_it_is() {
    while (auto request = co_await of_itself_.next()) {
        if (request->reply.empty()) continue;
        const auto verb = std::string_view{request->subject}.substr(prefix.size());
        answer(std::move(request->reply), verb.starts_with("PING") ? ping() : info());
    }
}

Task<> Service::tell_how_it_does() {
    std::vector<std::string> asked;
    while (auto request = co_await of_stats_.next()) {
        for (; request; request = of_stats_.try_next()) {
            if (!request->reply.empty()) asked.push_back(std::move(request->reply));
        }
        if (asked.empty()) continue;
        const auto text = co_await stats();
        for (auto& reply : asked) answer(std::move(reply), text);
        asked.clear();
    }
}

void Service::add(ServiceEndpoint endpoint) {
    const std::lock_guard guard{lock_};
    endpoints_.push_back(std::move(endpoint));
}

void Service::remove(const std::string& subject) {
    const std::lock_guard guard{lock_};
    std::erase_if(endpoints_, [&](const auto& endpoint) { return endpoint.subject == subject; });
}

std::size_t Service::endpoints() const {
    const std::lock_guard guard{lock_};
    return endpoints_.size();
}

Task<> Service::close() {
    const auto self = shared_from_this();
    of_itself_.drain();
    of_stats_.drain();
    auto end = [](TaskScope* scope) -> Task<> { co_await scope->join(); };
    (void)co_await as_result(with_deadline(Deadline::in(drain_time), end(&scope_)));
    of_itself_.close();
    of_stats_.close();
    co_await scope_.close(CancelReason::shutdown);
}

std::string Service::ping() const {
    return text_of({
        {"type", std::string{type_prefix} + "ping_response"},
        {"name", options_.name},
        {"id", id_},
        {"version", options_.version},
        {"metadata", Document::object()},
    });
}

std::string Service::info() const {
    auto endpoints = Document::array();
    {
        const std::lock_guard guard{lock_};
        for (const auto& endpoint : endpoints_) {
            endpoints.push_back({
                {"name", name_of(endpoint.subject)},
                {"subject", endpoint.subject},
                {"queue_group", endpoint.queue_group},
                {"metadata", Document::object()},
            });
        }
    }
    return text_of({
        {"type", std::string{type_prefix} + "info_response"},
        {"name", options_.name},
        {"id", id_},
        {"description", options_.description},
        {"version", options_.version},
        {"metadata", Document::object()},
        {"endpoints", std::move(endpoints)},
    });
}

Task<std::string> Service::stats() const {
    std::vector<Task<Document>> each;
    {
        const std::lock_guard guard{lock_};
        for (const auto& endpoint : endpoints_) each.push_back(stats_of(endpoint));
    }
    auto endpoints = Document::array();
    for (auto& told : co_await when_all(std::move(each))) endpoints.push_back(std::move(told));
    co_return text_of({
        {"type", std::string{type_prefix} + "stats_response"},
        {"name", options_.name},
        {"id", id_},
        {"version", options_.version},
        {"started", started_},
        {"endpoints", std::move(endpoints)},
    });
}

}  // namespace stator::nats
