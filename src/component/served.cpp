#include "component/served.hpp"

#include <mutex>

#include <fmt/format.h>

#include "stator/base/sink.hpp"

namespace stator::inline component {

EndpointMetrics::EndpointMetrics(const EndpointId& id) {
    auto& registry = observe::metrics();
    const observe::Labels labels{
        {"dynamo_namespace", id.namespace_},
        {"dynamo_component", id.component},
        {"dynamo_endpoint", id.endpoint}
    };
    requests = registry.counter("dynamo_component_requests_total", "Requests admitted", labels);
    inflight = registry.up_down_counter(
        "dynamo_component_inflight_requests", "Requests being served", labels
    );
    duration = registry.histogram(
        "dynamo_component_request_duration_seconds",
        "From admission to the end",
        observe::duration_buckets(),
        labels
    );
    request_bytes = registry.counter(
        "dynamo_component_request_bytes_total", "Payload bytes of requests", labels
    );
    response_bytes =
        registry.counter("dynamo_component_response_bytes_total", "Payload bytes of items", labels);
    for (std::uint8_t number = 1; number < errors_.size(); ++number) {
        auto with_type = labels;
        with_type.emplace_back("error_type", to_string(error_code_from_wire(number)));
        errors_[number] = registry.counter(
            "dynamo_component_errors_total", "Requests refused or failed", with_type
        );
    }
}

RunningRequest::RunningRequest(
    std::shared_ptr<Served> served, transport::ServerCall& call, Context context
)
    : served_{std::move(served)},
      call_{call},
      context_{std::move(context)},
      loop_index_{Loop::current()->index()},
      begin_{Clock::steady().now()} {
    served_->metrics_.inflight.add();
    auto& room = served_->rooms_.at(loop_index_);
    {
        const std::lock_guard guard{room.lock};
        room.requests.push_back(*this);
    }
    call_.observe(this);
}

RunningRequest::~RunningRequest() {
    call_.observe(nullptr);
    const auto& metrics = served_->metrics_;
    metrics.inflight.subtract();
    metrics.duration.observe(std::chrono::duration<double>(Clock::steady().now() - begin_).count());
    {
        auto& room = served_->rooms_.at(loop_index_);
        const std::lock_guard guard{room.lock};
        runtime::detail::IntrusiveList<RunningRequest, RequestTag>::remove(*this);
    }
    served_->left();
}

void RunningRequest::on_stop(CancelReason reason) noexcept {
    sink().count("component_requests_stopped_total", 1);
    context_.stop(reason);
}

void RunningRequest::on_kill(CancelReason reason) noexcept {
    sink().count("component_requests_killed_total", 1);
    sink().report(
        Severity::info,
        "stator::component",
        fmt::format(
            "request {} of {} killed ({})",
            context_.id().to_string(),
            served_->id_.to_string(),
            to_string(reason)
        )
    );
    context_.stop(reason);
}

Served::Served(
    EndpointId id,
    InstanceId instance,
    Handler handler,
    std::uint32_t max_inflight,
    std::size_t loops
)
    : id_{std::move(id)},
      instance_{instance},
      handler_{std::move(handler)},
      max_inflight_{max_inflight},
      metrics_{id_},
      rooms_{loops} {}

Result<void> Served::check_shape(transport::CallShape shape) const {
    if (transport::one_request(shape) == transport::one_request(handler_.shape())) return {};
    metrics_.errors(ErrorCode::invalid_request).add();
    const bool takes_one = transport::one_request(handler_.shape());
    return fail(
        ErrorCode::invalid_request,
        "component.wrong_shape",
        fmt::format(
            "{} is {}: its request is {}; the call is {}",
            id_.to_string(),
            to_string(handler_.shape()),
            takes_one ? "one message" : "a stream of items",
            to_string(shape)
        )
    );
}

Result<void> Served::admit() {
    const auto before = inflight_.fetch_add(1);
    if (refusing_.load()) {
        left();
        metrics_.errors(ErrorCode::draining).add();
        return fail(
            ErrorCode::draining,
            "component.draining",
            fmt::format("{} is shutting down here", id_.to_string())
        );
    }
    if (max_inflight_ != 0 && before >= max_inflight_) {
        left();
        metrics_.errors(ErrorCode::overloaded).add();
        return fail(
            ErrorCode::overloaded,
            "component.at_capacity",
            fmt::format("{} serves {} requests at a time here", id_.to_string(), max_inflight_)
        );
    }
    metrics_.requests.add();
    return {};
}

void Served::left() noexcept {
    // Sequentially consistent with refuse_new: one of the two sees the other and sets the event.
    if (inflight_.fetch_sub(1) == 1 && refusing_.load()) idle_.set();
}

void Served::refuse_new() noexcept {
    refusing_.store(true);
    if (inflight_.load() == 0) idle_.set();
}

std::vector<Context> Served::contexts() const {
    std::vector<Context> found;
    for (std::size_t i = 0; i < rooms_.size(); ++i) {
        auto& room = rooms_.at(i);
        const std::lock_guard guard{room.lock};
        room.requests.for_each([&](RunningRequest& request) { found.push_back(request.context()); }
        );
    }
    return found;
}

std::size_t Served::stop_all(CancelReason reason) {
    const auto reached = contexts();
    for (const auto& context : reached) context.stop(reason);
    return reached.size();
}

std::size_t Served::kill_all(CancelReason reason) {
    const auto reached = contexts();
    for (const auto& context : reached) context.kill(reason);
    return reached.size();
}

std::vector<std::string> Served::running() const {
    std::vector<std::string> lines;
    for (const auto& context : contexts()) {
        lines.push_back(fmt::format("{} request {}", id_.to_string(), context.id().to_string()));
    }
    return lines;
}

ServedTable::ServedTable(std::vector<std::shared_ptr<Served>> all) : all_{std::move(all)} {
    for (const auto& served : all_) by_path_[served->id().to_path()].push_back(served);
}

Result<std::shared_ptr<Served>> ServedTable::find(std::string_view path, InstanceId instance)
    const {
    const auto found = by_path_.find(path);
    if (found == by_path_.end()) {
        return fail(
            ErrorCode::not_found,
            "component.unknown_endpoint",
            fmt::format("{} is not served here", path)
        );
    }
    for (const auto& served : found->second) {
        if (!instance || served->instance() == instance) return served;
    }
    return fail(
        ErrorCode::not_found,
        "component.unknown_instance",
        fmt::format("instance {} of {} is not served here", instance.to_string(), path)
    );
}

}  // namespace stator::inline component
