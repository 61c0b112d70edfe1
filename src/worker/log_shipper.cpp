#include "worker/log_shipper.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/report_limit.hpp"
#include "stator/base/text.hpp"
#include "stator/http/client.hpp"
#include "stator/observe/log.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::inline worker {

using observe::LogRecord;
using Json = nlohmann::ordered_json;

namespace {

std::unexpected<Error> refuse(std::string message) {
    return fail(ErrorCode::invalid_request, "worker.otlp", std::move(message));
}

/// SeverityNumber of OpenTelemetry's data model.
int number_of(Severity severity) noexcept {
    switch (severity) {
        case Severity::trace:
            return 1;
        case Severity::debug:
            return 5;
        case Severity::info:
            return 9;
        case Severity::warn:
            return 13;
        case Severity::error:
            return 17;
    }
    return 0;
}

std::string_view name_of(Severity severity) noexcept {
    switch (severity) {
        case Severity::trace:
            return "TRACE";
        case Severity::debug:
            return "DEBUG";
        case Severity::info:
            return "INFO";
        case Severity::warn:
            return "WARN";
        case Severity::error:
            return "ERROR";
    }
    return "";
}

/// 64-bit numbers are texts in that JSON.
Json json_of(const LogRecord& record) {
    const auto since =
        std::chrono::duration_cast<std::chrono::nanoseconds>(record.time.time_since_epoch());
    const auto time = std::to_string(since.count());
    Json json{
        {"timeUnixNano", time},
        {"observedTimeUnixNano", time},
        {"severityNumber", number_of(record.severity)},
        {"severityText", name_of(record.severity)},
        {"body", {{"stringValue", record.message}}},
    };
    if (!record.trace_id.empty()) {
        json["traceId"] = record.trace_id;
        json["spanId"] = record.span_id;
    }
    return json;
}

/// What a collector may take later, as OTLP/HTTP names them.
bool is_worth_another_try(unsigned status) noexcept {
    return status == 429 || status == 502 || status == 503 || status == 504;
}

Task<http::Response> post(Collector to, std::string body) {
    http::Request request{.method = http::Method::post, .target = to.path};
    request.fields.emplace_back("Content-Type", "application/json");
    request.body = std::move(body);
    co_return co_await http::fetch(
        to.address, std::move(request), {.security = std::move(to.security)}
    );
}

}  // namespace

Result<Collector> collector_of(const settings::LoggingSettings& settings) {
    std::string_view rest = settings.otlp_endpoint;
    const bool tls = rest.starts_with("https://");
    if (!tls && !rest.starts_with("http://"))
        return refuse(fmt::format("{} is no URL with http or https", quoted_text(rest)));
    rest.remove_prefix(tls ? 8 : 7);
    const auto slash = std::min(rest.find('/'), rest.size());
    std::string place{rest.substr(0, slash)};
    Collector collector{.address = {}};
    if (slash < rest.size()) collector.path = rest.substr(slash);
    const auto colon = place.rfind(':');
    const bool has_port = colon != std::string::npos && place.find(']', colon) == std::string::npos;
    if (!has_port) place += tls ? ":443" : ":80";
    auto address = net::Address::parse(place);
    if (!address) return std::unexpected{address.error().with_detail("worker.otlp")};
    collector.address = std::move(*address);
    if (!tls) return collector;
    if (settings.otlp_certificate.empty())
        return refuse("an https collector needs OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE");
    settings::TlsSettings trust;
    trust.ca_cert_path = settings.otlp_certificate;
    auto security = net::Security::load(trust);
    if (!security) return std::unexpected{security.error()};
    collector.security = std::move(*security);
    return collector;
}

std::string otlp_json(const std::string& service, const std::vector<LogRecord>& records) {
    std::map<std::string_view, Json> scopes;
    for (const auto& record : records) {
        auto [scope, fresh] = scopes.try_emplace(record.target);
        if (fresh)
            scope->second = {{"scope", {{"name", record.target}}}, {"logRecords", Json::array()}};
        scope->second["logRecords"].push_back(json_of(record));
    }
    Json all = Json::array();
    for (auto& [target, scope] : scopes) all.push_back(std::move(scope));
    const Json name{{"key", "service.name"}, {"value", {{"stringValue", service}}}};
    const Json request{
        {"resourceLogs",
         Json::array(
             {{{"resource", {{"attributes", Json::array({name})}}}, {"scopeLogs", std::move(all)}}}
         )}
    };
    return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

LogShipper::LogShipper(const Runtime& runtime, Options options)
    : runtime_{runtime.unowned()},
      options_{std::move(options)},
      queue_{std::make_shared<observe::LogQueue>(options_.queue)},
      shipped_{observe::metrics().counter(
          "stator_log_lines_shipped_total", "Lines of the log that the collector has taken"
      )},
      refused_{observe::metrics().counter(
          "stator_log_lines_refused_total", "Lines of the log that the collector did not want"
      )},
      dropped_{observe::metrics().add_collector([queue = queue_](observe::Samples& samples) {
          samples.counter(
              "stator_log_lines_not_shipped_total",
              "Lines of the log that the collector was too slow for",
              {},
              static_cast<double>(queue->dropped())
          );
      })},
      backoff_{options_.backoff} {}

void LogShipper::start() {
    log::copy_to(queue_);
    scope_.spawn_on(home(), run());
}

Task<> LogShipper::run() {
    while (co_await sleep_for(options_.period, ending_)) {
        // As long as there is more than one batch there is no waiting.
        do co_await ship_batch();
        while (queue_->size() >= options_.batch && !ending_.cancelled());
    }
}

/// Returns once the batch is taken or refused, or at the end. Meanwhile the queue drops what does
/// not fit.
Task<> LogShipper::ship_batch() {
    while (batch_.empty()) {
        batch_ = queue_->take(options_.batch);
        if (batch_.empty()) co_return;
    }
    while (co_await send(options_.timeout) == Fate::later) {
        if (!co_await sleep_for(backoff_.next(), ending_)) co_return;
    }
    backoff_.reset();
    batch_.clear();
}

Task<LogShipper::Fate> LogShipper::send(Duration limit) {
    const auto answer = co_await as_result(with_deadline(
        Deadline::in(limit), post(options_.collector, otlp_json(options_.service, batch_))
    ));
    if (!answer && answer.error().code() == ErrorCode::cancelled) throw answer.error();
    if (answer && answer->status / 100 == 2) {
        shipped_.add(batch_.size());
        co_return Fate::taken;
    }
    static constinit log::Every every{std::chrono::minutes{1}};
    if (every.due()) {
        log::warn(
            "stator::worker",
            "the log collector at {}: {}",
            options_.collector.address.to_string(),
            answer ? fmt::format("status {}", answer->status) : std::string{answer.error().what()}
        );
    }
    if (!answer || is_worth_another_try(answer->status)) co_return Fate::later;
    refused_.add(batch_.size());
    co_return Fate::refused;
}

Task<> LogShipper::tear_down(Deadline deadline) { co_await on_loop(home(), finish(deadline)); }

Task<> LogShipper::finish(Deadline deadline) {
    const auto until = earliest(deadline, Deadline::in(options_.last_try));
    // What is on its way may arrive: cut off, it would be sent a second time.
    ending_.cancel();
    (void)co_await as_result(with_deadline(until, scope_.join()));
    co_await scope_.close(CancelReason::shutdown);
    for (;;) {
        if (batch_.empty()) batch_ = queue_->take(options_.batch);
        const auto left = until.remaining();
        if (batch_.empty() || left <= Duration::zero()) co_return;
        const auto sent = co_await as_result(send(left));
        if (!sent || *sent == Fate::later) co_return;
        batch_.clear();
    }
}

}  // namespace stator::inline worker
