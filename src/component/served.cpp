#include "component/served.hpp"

#include <mutex>

#include <fmt/format.h>

#include "component/queue_metrics.hpp"
#include "stator/base/sink.hpp"
#include "stator/observe/log.hpp"

namespace stator::inline component {

namespace {

/// As the original's, so that filters fit both.
constexpr std::string_view span_target = "request_span";

/// What the last line of a request belongs to.
struct Ended {
    const Context& context;
    Duration taken;
    observe::Span span() const {
        auto span = context.span();
        span.duration = taken;
        return span;
    }
};

observe::SpanPlace place_of(const EndpointId& id, InstanceId instance) {
    return {id.namespace_, id.component, id.endpoint, instance.value()};
}

}  // namespace

observe::Labels labels_of(const EndpointId& id) {
    return {
        {"dynamo_namespace", id.namespace_},
        {"dynamo_component", id.component},
        {"dynamo_endpoint", id.endpoint},
    };
}

EndpointMetrics::EndpointMetrics(const observe::MetricScope& scope) {
    requests = scope.counter("requests_total", "Requests admitted");
    inflight = scope.up_down_counter("inflight_requests", "Requests being served");
    duration = scope.histogram(
        "request_duration_seconds", "From admission to the end", observe::duration_buckets()
    );
    request_bytes = scope.counter("request_bytes_total", "Payload bytes of requests");
    response_bytes = scope.counter("response_bytes_total", "Payload bytes of items");
    for (std::uint8_t number = 1; number < errors_.size(); ++number) {
        errors_[number] = scope.counter(
            "errors_total",
            "Requests refused or failed",
            {{"error_type", std::string{to_string(error_code_from_wire(number))}}}
        );
    }
}

Admission::~Admission() {
    if (served_) served_->left();
}

RunningRequest::RunningRequest(Admission admission, transport::ServerCall& call, Context context)
    : admission_{std::move(admission)},
      served_{admission_.served()},
      call_{call},
      context_{std::move(context)},
      loop_index_{Loop::current()->index()},
      begin_{Clock::steady().now()} {
    served_->metrics_.inflight.add();
    call_.set_annotated(served_->handler_.annotated());
    auto& room = served_->rooms_.at(loop_index_);
    {
        const std::lock_guard guard{room.lock};
        room.requests.push_back(*this);
    }
    call_.observe(this);
    if (log::span_events()) log::info(context_, span_target, "SPAN_FIRST_ENTRY");
}

RunningRequest::~RunningRequest() {
    call_.observe(nullptr);
    const auto& metrics = served_->metrics_;
    metrics.inflight.subtract();
    const auto taken = Clock::steady().now() - begin_;
    metrics.duration.observe(std::chrono::duration<double>(taken).count());
    served_->gate_.served_in(taken);
    if (log::span_events()) log::info(Ended{context_, taken}, span_target, "SPAN_CLOSED");
    {
        auto& room = served_->rooms_.at(loop_index_);
        const std::lock_guard guard{room.lock};
        runtime::detail::IntrusiveList<RunningRequest, RequestTag>::remove(*this);
    }
}

void RunningRequest::on_stop(CancelReason reason) noexcept {
    sink().count("component_requests_stopped_total", 1);
    context_.stop(reason);
}

void RunningRequest::on_kill(CancelReason reason) noexcept {
    sink().count("component_requests_killed_total", 1);
    log::info(
        context_,
        "stator::component",
        "request {} of {} killed ({})",
        context_.id().to_string(),
        served_->id_.to_string(),
        to_string(reason)
    );
    context_.stop(reason);
}

Served::Served(
    EndpointId id,
    InstanceId instance,
    Handler handler,
    const ServeOptions& options,
    std::size_t loops
)
    : id_{std::move(id)},
      instance_{instance},
      place_{&observe::lasting(place_of(id_, instance))},
      handler_{std::move(handler)},
      series_{observe::MetricScope{observe::metrics(), labels_of(id_)}},
      metrics_{*series_},
      max_wait_{options.queue.max_wait},
      gate_{
          options.max_inflight,
          options.queue,
          fmt::format("worker {} of {}", instance_.to_string(), id_.to_string())
      },
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

Result<Admission> Served::admit() {
    const auto entry = gate_.enter(Clock::current().now());
    if (!entry) {
        count_refusal(entry.error());
        metrics_.errors(entry.error().code()).add();
        return std::unexpected{entry.error()};
    }
    metrics_.requests.add();
    return *entry == Gate::Entry::waits ? Admission{} : Admission{shared_from_this()};
}

void Served::count_refusal(const Error& why) const {
    if (why.code() == ErrorCode::overloaded) QueueMetrics::shared().refused.add();
}

Task<> Served::turn(Deadline deadline) {
    const auto& metrics = QueueMetrics::shared();
    const auto seconds = [](Duration time) { return std::chrono::duration<double>{time}.count(); };
    const auto begun = Clock::current().now();
    const auto turn = co_await as_result(gate_.turn(deadline));
    const auto waited = Clock::current().now() - begun;
    metrics.wait.observe(seconds(waited));
    if (turn) co_return;
    count_refusal(turn.error());
    if (turn.error().code() == ErrorCode::overloaded && waited >= max_wait_)
        metrics.overdue.observe(seconds(waited - max_wait_));
    throw turn.error();
}

void Served::left() noexcept { gate_.leave(Clock::current().now()); }

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

std::vector<observe::RequestView> Served::requests() const {
    std::vector<observe::RequestView> views;
    const auto now = Clock::steady().now();
    for (std::size_t i = 0; i < rooms_.size(); ++i) {
        auto& room = rooms_.at(i);
        const std::lock_guard guard{room.lock};
        room.requests.for_each([&](RunningRequest& request) {
            const auto& context = request.context();
            views.push_back({
                .id = context.id().to_string(),
                .age = now - request.begin(),
                .state = context.killed()    ? "killed"
                         : context.stopped() ? "stopped"
                                             : "live",
            });
        });
    }
    return views;
}

std::uint64_t Served::items_sent() const noexcept {
    std::uint64_t items = 0;
    for (std::size_t i = 0; i < rooms_.size(); ++i)
        items += rooms_.at(i).items.load(std::memory_order_relaxed);
    return items;
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
