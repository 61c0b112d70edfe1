#include "component/cluster_state.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/store/file_store.hpp"
#include "stator/store/memory_store.hpp"

namespace stator::inline component {

using namespace std::chrono_literals;
using discovery::LinkEvent;

namespace {

transport::MuxConfig mux_config(const settings::MuxSettings& settings, std::uint64_t epoch) {
    transport::MuxConfig mux;
    mux.epoch = epoch;
    mux.max_frame = settings.max_frame_size;
    mux.max_message = settings.max_message_size;
    mux.request_credit = settings.stream_window;
    mux.max_streams = settings.max_streams;
    mux.window = settings.connection_window;
    mux.memory_limit = settings.memory_limit;
    mux.process = std::make_shared<transport::BufferBudget>(settings.process_memory_limit);
    mux.large_budget = settings.large_message_budget;
    mux.least_window = settings.least_stream_window;
    mux.most_window = settings.most_stream_window;
    mux.ping_after = settings.ping_after;
    mux.suspect_after = settings.suspect_after;
    mux.lost_after = settings.lost_after;
    return mux;
}

Headers copied_headers(const transport::CallHead& head) {
    Headers headers;
    headers.reserve(head.headers.size());
    for (const auto& field : head.headers) headers.emplace_back(field.key, field.value);
    return headers;
}

std::optional<observe::TraceContext> copied_trace(const transport::CallHead& head) {
    if (!head.trace) return std::nullopt;
    return observe::TraceContext{
        .trace_id = head.trace->trace_id,
        .span_id = head.trace->span_id,
        .flags = head.trace->flags,
        .state = std::string{head.trace->state},
    };
}

}  // namespace

ClusterState::ClusterState(const Runtime& runtime, DistributedConfig config)
    : runtime_{runtime.unowned()},  // it owns us
      config_{std::move(config)},
      mux_{mux_config(config_.mux, os_random())},
      instance_id_{config_.instance_id ? config_.instance_id : InstanceId::random()},
      sides_{runtime_.primary().size() + runtime_.secondary().size()},
      placement_{runtime_.primary(), config_.long_step} {}

ClusterState::~ClusterState() = default;

Loop& ClusterState::loop_at(std::size_t index) const noexcept {
    const auto primary = runtime_.primary();
    return index < primary.size() ? primary.loop(index)
                                  : runtime_.secondary().loop(index - primary.size());
}

Task<std::shared_ptr<store::KeyValueStore>> ClusterState::open_store() {
    Loop& loop = runtime_.secondary().loop(0);
    switch (config_.discovery) {
        case DiscoveryBackend::memory:
            co_return store::MemoryStore::open(loop, {.name = config_.memory_name});
        case DiscoveryBackend::file:
            break;
    }
    store::FileStore::Options options;
    options.root = config_.file_root.empty() ? store::FileStore::default_root()
                                             : std::filesystem::path{config_.file_root};
    co_return co_await store::FileStore::open(loop, std::move(options));
}

Task<> ClusterState::connect() {
    if (auto valid = mux_.check(); !valid) throw valid.error();
    store_ = co_await open_store();
    std::optional<Error> failure;
    try {
        // Bound to the transports' token: it goes after the last request, and takes every key with
        // it.
        lease_ = co_await store_->grant_lease({.bound_to = runtime_.transports_token()});
        discovery::Discovery::Options options;
        options.routing.probing = true;
        options.prober = [self = weak_from_this(
                          )](std::shared_ptr<const discovery::Instance> instance) -> Task<bool> {
            // A function object outlives its coroutine here only by luck: everything goes by
            // parameter.
            return [](std::weak_ptr<ClusterState> weak,
                      std::shared_ptr<const discovery::Instance> target) -> Task<bool> {
                const auto state = weak.lock();
                co_return state&& co_await state->probe(std::move(target));
            }(self, std::move(instance));
        };
        discovery_ = std::make_unique<discovery::Discovery>(store_, std::move(options));
        runtime_.add_participant(shared_from_this());
    } catch (const Error& error) {
        failure = error;
    }
    if (!failure) co_return;
    co_await shielded(store_->close(Deadline::in(2s)));
    throw *failure;
}

Task<bool> ClusterState::probe(std::shared_ptr<const discovery::Instance> instance) {
    if (const auto& mux = instance->mux) {
        if (!config_.security.suits(mux->address, mux->tls)) co_return false;
        const auto connection = co_await as_result(pool().connect(instance->mux->address));
        co_return connection.has_value();
    }
    if (instance->transport.kind != discovery::TransportKind::tcp) co_return false;
    const std::string address{instance->transport.host_port()};
    const auto connection = co_await as_result(dynamo_pool().connect(address));
    co_return connection.has_value();
}

Task<transport::RequestServer*> ClusterState::server() {
    const auto permit = co_await server_start_.acquire();
    if (server_) co_return server_.get();
    transport::RequestServer::Options options;
    options.bind = net::Address{config_.bind_host.value_or("127.0.0.1"), config_.bind_port};
    const auto primary = runtime_.primary();
    for (std::size_t i = 0; i < primary.size(); ++i) options.loops.push_back(&primary.loop(i));
    options.config = mux_;
    options.dynamo.max_request = config_.max_dynamo_request;
    options.dynamo.max_item = mux_.max_message;
    options.dynamo.connect_timeout = config_.connect_timeout;
    options.dynamo.process = mux_.process;
    options.security = config_.security;
    options.dispatcher = this;
    options.requests = runtime_.requests_token();
    options.transports = runtime_.transports_token();
    server_ =
        co_await on_loop(primary.loop(0), transport::RequestServer::start(std::move(options)));
    co_return server_.get();
}

Task<ClusterState::Advertised> ClusterState::advertised() {
    const auto* server = co_await this->server();
    auto host = config_.advertise_host.value_or(server->address().host);
    if (net::Address{host, 0}.is_wildcard()) host = "127.0.0.1";
    const auto port = config_.advertise_port.value_or(server->address().port);
    // Real Dynamo clients take no names: their address is the number that the name stands for
    // today.
    const auto numeric = co_await net::resolve(host);
    co_return Advertised{
        .mux = net::Address{host, port}.to_string(),
        .numeric = net::Address{numeric, port}.to_string(),
        .tls = config_.security.serves_tls(),
    };
}

void ClusterState::add(std::shared_ptr<Served> served) {
    const std::lock_guard guard{served_change_};
    auto all = served_.load().value->all();
    const bool known = std::ranges::any_of(all, [&](const auto& other) {
        return other->id() == served->id() && other->instance() == served->instance();
    });
    if (known) {
        throw Error{
            ErrorCode::already_exists,
            "component.served_already",
            fmt::format(
                "instance {} of {} is served here already",
                served->instance().to_string(),
                served->id().to_string()
            )
        };
    }
    all.push_back(std::move(served));
    served_.store(std::make_shared<ServedTable>(std::move(all)));
}

void ClusterState::remove(const Served& served) {
    const std::lock_guard guard{served_change_};
    auto all = served_.load().value->all();
    std::erase_if(all, [&](const auto& other) { return other.get() == &served; });
    served_.store(std::make_shared<ServedTable>(std::move(all)));
}

bool ClusterState::serves_others(const Served& served) const {
    if (runtime_.primary_token().cancelled()) return false;  // all of them end now
    const auto table = served_.load().value;
    return std::ranges::any_of(table->all(), [&](const auto& other) {
        return other.get() != &served && other->instance() == served.instance() &&
               !other->refusing();
    });
}

transport::MuxPool& ClusterState::pool() {
    auto& side = sides_.current();
    if (!side.pool) {
        side.pool = std::make_unique<transport::MuxPool>(transport::MuxPool::Options{
            .config = mux_,
            .security = config_.security,
            .connect_timeout = config_.connect_timeout,
            .observer = this,
            .transports = runtime_.transports_token(),
        });
    }
    return *side.pool;
}

transport::DynamoPool& ClusterState::dynamo_pool() {
    auto& side = sides_.current();
    if (!side.dynamo_pool) {
        side.dynamo_pool = std::make_unique<transport::DynamoPool>(transport::DynamoPool::Options{
            .config = config_.dynamo,
            .security = config_.security,
            .connect_timeout = config_.connect_timeout,
            .observer = this,
            .transports = runtime_.transports_token(),
        });
    }
    return *side.dynamo_pool;
}

Task<std::shared_ptr<transport::CallHomeServer>> ClusterState::call_home() {
    const auto permit = co_await call_home_start_.acquire();
    if (!call_home_) {
        if (torn_down_.load()) {
            throw Error{
                ErrorCode::unavailable, "component.closed", "this process has left the cluster"
            };
        }
        transport::CallHomeServer::Options options;
        options.bind = {config_.response_host.value_or("127.0.0.1"), config_.response_port};
        options.security = config_.security;
        options.advertise_host = config_.response_advertise_host.value_or("");
        options.advertise_port = config_.response_advertise_port.value_or(std::uint16_t{0});
        for (std::size_t i = 0; i < sides_.size(); ++i) options.loops.push_back(&loop_at(i));
        options.transports = runtime_.transports_token();
        call_home_ =
            co_await on_loop(loop_at(0), transport::CallHomeServer::start(std::move(options)));
    }
    sides_.current().call_home = call_home_;
    co_return call_home_;
}

TaskScope& ClusterState::feeds() {
    auto& side = sides_.current();
    if (!side.feeds) side.feeds = std::make_unique<TaskScope>(runtime_.transports_token());
    return *side.feeds;
}

Result<transport::Serving> ClusterState::dispatch(
    std::unique_ptr<transport::ServerCall>& call, const transport::CallHead& head
) {
    auto& side = sides_.current();
    if (!side.served) side.served.emplace(served_);
    auto served = side.served->get()->find(head.path, head.instance);
    if (!served) return std::unexpected{std::move(served.error())};
    const auto codec = payload_codec_from_wire(head.codec);
    if (!codec) {
        return fail(
            ErrorCode::unimplemented,
            "component.unknown_codec",
            fmt::format("payload codec {} is not known here", head.codec)
        );
    }
    if (auto fits = (*served)->check_shape(head.shape); !fits)
        return std::unexpected{std::move(fits.error())};
    if (auto admitted = (*served)->admit(); !admitted)
        return std::unexpected{std::move(admitted.error())};
    Context context{Context::Options{
        .id = head.request,
        .deadline = head.remaining.count() > 0 ? Deadline::in(head.remaining) : Deadline::never(),
        .headers = copied_headers(head),
        .trace = copied_trace(head),
        .kill_token = call->token(),
    }};
    return start({std::move(*served), std::move(call), std::move(context), *codec, head.shape});
}

transport::Serving ClusterState::start(AdmittedCall&& admitted) {
    // A request that is still on its way is read by its own loop; so is a stream of them.
    Loop* const elsewhere =
        transport::one_request(admitted.shape) ? placement_.elsewhere() : nullptr;
    if (elsewhere == nullptr) return {serve_call(std::move(admitted))};
    auto request = admitted.call->try_next();
    if (!request) return {serve_call(std::move(admitted))};
    auto& not_begun = placement_.not_begun(*elsewhere);
    not_begun.fetch_add(1, std::memory_order_relaxed);
    sink().count("component_requests_begun_elsewhere_total", 1);
    return {serve_call_elsewhere(std::move(admitted), std::move(*request), &not_begun), elsewhere};
}

void ClusterState::on_peer_lost(const std::string& address, const Error&) noexcept {
    discovery_->report(address, LinkEvent::lost);
}

void ClusterState::on_peer_unreachable(const std::string& address, const Error&) noexcept {
    discovery_->report(address, LinkEvent::refused);
}

void ClusterState::on_peer_connected(const std::string& address) noexcept {
    discovery_->report(address, LinkEvent::healthy);
}
void ClusterState::on_peer_suspect(const std::string& address) noexcept {
    discovery_->report(address, LinkEvent::silent);
}
void ClusterState::on_peer_healthy(const std::string& address) noexcept {
    discovery_->report(address, LinkEvent::healthy);
}

void ClusterState::on_peer_draining(const std::string& address, InstanceId instance) noexcept {
    if (instance) {
        discovery_->report(instance, LinkEvent::draining);
    } else {
        discovery_->report(address, LinkEvent::draining);
    }
}

Task<> ClusterState::close_pool() {
    auto& side = sides_.current();
    if (side.pool) co_await side.pool->close();
    side.pool.reset();
    if (side.dynamo_pool) co_await side.dynamo_pool->close();
    side.dynamo_pool.reset();
    side.call_home.reset();
    // Their calls have ended with the connections.
    if (side.feeds) co_await side.feeds->close(CancelReason::shutdown);
    side.feeds.reset();
    side.served.reset();
}

Task<> ClusterState::close_server(Deadline deadline) {
    // The requests are done; what their callers have not taken yet still has to reach them. A part
    // of the time is kept for the rest of the way.
    const auto kept = std::clamp<Duration>(runtime_.graceful_timeout() / 20, 150ms, 1s);
    const auto until = deadline.is_never() ? deadline : Deadline::at(deadline.when() - kept);
    co_await server_->flush(until);
    co_await server_->close();
    server_.reset();  // here, on the loop that its listener belongs to
}

Task<> ClusterState::close_call_home() {
    const auto permit = co_await call_home_start_.acquire();
    if (!call_home_) co_return;
    co_await call_home_->close();
    call_home_.reset();
}

Task<> ClusterState::tear_down(Deadline deadline) {
    if (torn_down_.exchange(true)) co_return;
    const auto self = shared_from_this();
    if (server_) co_await on_loop(loop_at(0), close_server(deadline));
    for (std::size_t i = 0; i < sides_.size(); ++i) co_await on_loop(loop_at(i), close_pool());
    co_await on_loop(loop_at(0), close_call_home());
    if (discovery_) co_await discovery_->close();
    // Last: locks and barriers of the application may hang on the lease.
    (void)co_await as_result(with_deadline(deadline, lease_.revoke()));
    co_await store_->close(deadline);
}

std::vector<std::string> ClusterState::unfinished() const {
    std::vector<std::string> lines;
    for (const auto& served : served_.load().value->all()) {
        auto more = served->running();
        lines.insert(
            lines.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end())
        );
    }
    for (std::size_t i = 0; i < sides_.size(); ++i) {
        const Loop& loop = loop_at(i);
        if (loop.busy_for() > 1s) {
            const auto seconds =
                std::chrono::duration_cast<std::chrono::seconds>(loop.busy_for()).count();
            lines.push_back(fmt::format("loop {} held for {} s", loop.name(), seconds));
        }
    }
    return lines;
}

}  // namespace stator::inline component
