#include "stator/component/control.hpp"

#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "stator/base/text.hpp"
#include "stator/codec/json.hpp"
#include "stator/runtime/combinators.hpp"

namespace stator::inline component {

using Action = ControlRequest::Action;
using View = std::shared_ptr<const observe::InstanceView>;

namespace {

std::unexpected<Error> refuse(std::string message) {
    return fail(ErrorCode::invalid_request, "control.request", std::move(message));
}

/// Empty if there is no such field.
Result<std::string> text_field(const Document& fields, const char* name) {
    const auto found = fields.find(name);
    if (found == fields.end()) return std::string{};
    if (!found->is_string() || found->get_ref<const std::string&>().empty())
        return refuse(fmt::format("{} is no text", name));
    return found->get<std::string>();
}

Result<Action> action_of(const std::string& name, std::optional<Action> known) {
    for (const auto action : {Action::drain, Action::resume}) {
        if (name == to_string(action) && known.value_or(action) == action) return action;
    }
    if (known && name.empty()) return *known;
    return refuse(fmt::format("there is no action {} here", quoted_text(name)));
}

bool is_meant(const ControlRequest& request, const observe::InstanceHealth& instance) {
    return (!request.endpoint || request.endpoint->to_string() == instance.endpoint) &&
           (!request.instance || request.instance.to_string() == instance.instance);
}

Task<> act(Action action, std::shared_ptr<observe::InstanceControl> on) {
    co_await (action == Action::drain ? on->drain() : on->resume());
}

Task<std::optional<Error>> try_to_act(Action action, View on) {
    const auto control = on->control();
    const auto done = co_await as_result(act(action, control));
    if (done) co_return std::nullopt;
    const auto instance = on->health();
    co_return done.error().with_context(
        fmt::format("{} {} {}", to_string(action), instance.endpoint, instance.instance)
    );
}

std::string report_of(const std::vector<View>& instances) {
    Document report{{"instances", Document::array()}};
    for (const auto& instance : instances) {
        const auto health = instance->health();
        report["instances"].push_back(
            {{"endpoint", health.endpoint},
             {"instance_id", health.instance},
             {"state", to_string(health.state)},
             {"requests", instance->requests().size()}}
        );
    }
    return report.dump();
}

}  // namespace

std::string_view to_string(Action action) noexcept {
    return action == Action::drain ? "drain" : "resume";
}

std::string to_json(const ControlRequest& request) {
    Document fields{{"action", to_string(request.action)}};
    if (request.endpoint) fields["endpoint"] = request.endpoint->to_string();
    if (request.instance) fields["instance"] = request.instance.to_string();
    return fields.dump();
}

Result<ControlRequest> control_request_from_json(
    std::string_view text, std::optional<Action> action
) {
    ControlRequest request;
    if (text.empty() && action) {
        request.action = *action;
        return request;
    }
    const auto fields = decode_json(text);
    if (!fields) return std::unexpected{fields.error().with_detail("control.request")};
    if (!fields->is_object()) return refuse("a JSON object is expected");
    for (const auto& [name, value] : fields->items()) {
        if (name != "action" && name != "endpoint" && name != "instance")
            return refuse(fmt::format("no field is called {}", quoted_text(name)));
    }
    for (const auto* name : {"action", "endpoint", "instance"}) {
        if (auto good = text_field(*fields, name); !good) return std::unexpected{good.error()};
    }
    const auto which = action_of(*text_field(*fields, "action"), action);
    if (!which) return std::unexpected{which.error()};
    request.action = *which;
    if (const auto path = *text_field(*fields, "endpoint"); !path.empty()) {
        auto endpoint = EndpointId::parse(path);
        if (!endpoint) return std::unexpected{endpoint.error()};
        request.endpoint = std::move(*endpoint);
    }
    if (const auto id = *text_field(*fields, "instance"); !id.empty()) {
        const auto instance = InstanceId::parse(id);
        if (!instance) return std::unexpected{instance.error()};
        request.instance = *instance;
    }
    return request;
}

Task<std::string> control(std::shared_ptr<observe::Health> health, ControlRequest request) {
    std::vector<View> meant;
    std::vector<Task<std::optional<Error>>> tries;
    for (auto& instance : health->instances()) {
        if (!instance->control() || !is_meant(request, instance->health())) continue;
        tries.push_back(try_to_act(request.action, instance));
        meant.push_back(std::move(instance));
    }
    if (meant.empty()) {
        throw Error{
            ErrorCode::not_found,
            "control.not_served",
            fmt::format(
                "{} is not served here",
                request.endpoint ? request.endpoint->to_string() : std::string{"anything"}
            )
        };
    }
    for (const auto& error : co_await when_all(std::move(tries))) {
        if (error) throw *error;
    }
    co_return report_of(meant);
}

}  // namespace stator::inline component
