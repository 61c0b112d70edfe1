#include "worker/status_pages.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"

namespace stator::inline worker {

namespace {

using Json = nlohmann::ordered_json;

// What one page shows of the requests of an instance; the count is whole.
constexpr std::size_t shown_requests = 1000;

http::Response page(unsigned status, const Json& content) {
    // Texts of others may be no UTF-8.
    return http::Response::json(
        status, content.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
    );
}

Json json_of(Duration time) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    return {{"secs", seconds.count()}, {"nanos", (time - seconds).count()}};
}

std::string status_text(bool ready) { return ready ? "ready" : "notready"; }

}  // namespace

http::Response health_page(const observe::HealthReport& report, Duration uptime) {
    // By the names that the original uses: one that is served twice is as well as the worse of
    // them.
    std::map<std::string, bool> endpoints;
    Json instances = Json::array();
    for (const auto& instance : report.instances) {
        auto& ready =
            endpoints.try_emplace(std::string{instance.endpoint_name()}, true).first->second;
        ready = ready && instance.ready();
        Json one{
            {"endpoint", instance.endpoint},
            {"instance_id", instance.instance},
            {"state", to_string(instance.state)},
        };
        if (!instance.reason.empty()) one["reason"] = instance.reason;
        if (!instance.registration.empty()) one["registration"] = instance.registration;
        instances.push_back(std::move(one));
    }
    Json content{{"status", status_text(report.ready)}, {"uptime", json_of(uptime)}};
    content["endpoints"] = Json::object();
    for (const auto& [name, ready] : endpoints) content["endpoints"][name] = status_text(ready);
    content["instances"] = std::move(instances);
    content["reasons"] = report.reasons;
    return page(report.ready ? 200 : 503, content);
}

http::Response ready_page(const observe::HealthReport& report) {
    Json content{{"status", status_text(report.ready)}};
    if (!report.ready) content["reasons"] = report.reasons;
    return page(report.ready ? 200 : 503, content);
}

http::Response live_page(const std::vector<std::string>& stuck, Duration uptime) {
    Json content{{"status", stuck.empty() ? "live" : "stuck"}, {"uptime", json_of(uptime)}};
    if (!stuck.empty()) content["reasons"] = stuck;
    return page(stuck.empty() ? 200 : 503, content);
}

http::Response metadata_page(const std::vector<std::shared_ptr<const observe::InstanceView>>& all) {
    Json instances = Json::array();
    for (const auto& instance : all) {
        const auto record = instance->record();
        if (!record) continue;
        auto parsed = Json::parse(*record, nullptr, false);
        if (!parsed.is_discarded()) instances.push_back(std::move(parsed));
    }
    if (instances.empty()) {
        return http::Response::of(
            Error{ErrorCode::not_found, "worker.no_metadata", "nothing is registered"}
        );
    }
    return page(200, {{"instances", std::move(instances)}});
}

http::Response streams_page(const std::vector<std::shared_ptr<const observe::InstanceView>>& all) {
    Json instances = Json::array();
    std::size_t count = 0;
    for (const auto& instance : all) {
        auto requests = instance->requests();
        count += requests.size();
        // The oldest are what one looks for.
        std::ranges::sort(requests, std::greater{}, &observe::RequestView::age);
        Json shown = Json::array();
        for (std::size_t i = 0; i < std::min(requests.size(), shown_requests); ++i) {
            const auto& request = requests[i];
            shown.push_back(
                {{"id", request.id},
                 {"age_seconds", std::chrono::duration<double>(request.age).count()},
                 {"state", request.state}}
            );
        }
        const auto health = instance->health();
        instances.push_back(
            {{"endpoint", health.endpoint},
             {"instance_id", health.instance},
             {"state", to_string(health.state)},
             {"count", requests.size()},
             {"requests", std::move(shown)}}
        );
    }
    return page(200, {{"count", count}, {"instances", std::move(instances)}});
}

std::string without_secrets(std::string text) {
    for (std::size_t at = 0; (at = text.find("://", at)) != text.npos;) {
        at += 3;
        const auto end = text.find_first_of("/, ", at);
        const auto sign = text.substr(at, end == text.npos ? end : end - at).rfind('@');
        if (sign != text.npos) text.replace(at, sign, "***");
    }
    return text;
}

http::Response config_page(const settings::Settings& settings) {
    Json content = Json::array();
    for (const auto& entry : settings::entries(settings)) {
        content.push_back(
            {{"name", entry.name}, {"value", without_secrets(entry.value)}, {"source", entry.source}
            }
        );
    }
    return page(200, content);
}

}  // namespace stator::inline worker
