#include "component/cluster_state.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "component/remote_control.hpp"
#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/net/host_setting.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
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
      sides_{runtime_.loop_slots()},
      placement_{runtime_.primary(), config_.long_step} {}

ClusterState::~ClusterState() = default;

Loop& ClusterState::first_loop() const noexcept { return runtime_.primary().loop(0); }

Task<std::shared_ptr<store::KeyValueStore>> ClusterState::open_store() {
    Loop& loop = runtime_.secondary().loop(0);
    if (config_.fixed)
        co_return store::MemoryStore::open(loop, {.name = fmt::format("fixed-{:x}", os_random())});
    switch (config_.discovery) {
        case DiscoveryBackend::memory:
            co_return store::MemoryStore::open(loop, {.name = config_.memory_name});
        case DiscoveryBackend::etcd:
            etcd_ = co_await store::EtcdStore::open(loop, config_.etcd);
            co_return etcd_;
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
    const auto joined = co_await as_result(join_cluster());
    if (joined) co_return;
    if (nats_) co_await shielded(nats_.close(Deadline::in(2s)));
    co_await shielded(store_->close(Deadline::in(2s)));
    throw joined.error();
}

/// In a store that nobody else looks at.
Task<> ClusterState::keep_fixed(std::vector<discovery::Instance> instances) {
    for (const auto& instance : instances) {
        if (const auto good = instance.check(); !good) throw good.error();
        auto record = discovery::to_record(instance);
        if (!record) throw record.error();
        co_await store_->put(instance.key(), std::move(*record));
    }
}

/// What needs the store. Fails without leaving anything behind but the store itself.
Task<> ClusterState::join_cluster() {
    // Whoever reaches etcd may reach us there, too.
    if (etcd_) local_host_ = co_await etcd_->local_address();
    if (config_.request_plane == settings::RequestPlane::nats) co_await connect_nats();
    // With the transports' token it goes after the last request, and takes every key with it.
    const auto& end =
        config_.revokes_first ? runtime_.primary_token() : runtime_.transports_token();
    if (config_.primary_lease) lease_ = co_await store_->grant_lease({.bound_to = end});
    discovery::Discovery::Options options;
    options.routing.probing = true;
    options.prober = [self = weak_from_this()](std::shared_ptr<const discovery::Instance> instance
                     ) -> Task<bool> {
        // A function object outlives its coroutine here only by luck: everything goes by
        // parameter.
        return [](std::weak_ptr<ClusterState> weak,
                  std::shared_ptr<const discovery::Instance> target) -> Task<bool> {
            const auto state = weak.lock();
            co_return state&& co_await state->probe(std::move(target));
        }(self, std::move(instance));
    };
    if (config_.fixed) co_await keep_fixed(*config_.fixed);
    discovery_ = std::make_unique<discovery::Discovery>(store_, std::move(options));
    runtime_.add_participant(shared_from_this());
    collector_ =
        observe::metrics().add_collector([this](observe::Samples& samples) { collect(samples); });
    departure_.spawn_on(runtime_.secondary().loop(0), leave_when_asked());
    if (lease_ && config_.ends_with_lease)
        departure_.spawn_on(runtime_.secondary().loop(0), end_with_lease());
}

/// What is served leaves when everything is asked to end, whatever its owner does: also while every
/// primary loop is held, and where the application has let go of it.
Task<> ClusterState::leave_when_asked() {
    const auto root = runtime_.primary_token();
    co_await root.wait();
    co_await leave_all(runtime_.shutdown_deadline());
}

/// For who would rather be started again than be found again.
Task<> ClusterState::end_with_lease() {
    for (auto seen = lease_.version(); lease_.losses() == 0; seen = lease_.version())
        co_await lease_.wait_past(seen);
    sink().report(
        Severity::error,
        "stator::component",
        "the lease of this process is lost: it ends, as worker.on_lease_lost says"
    );
    runtime_.shutdown();
}

Task<> ClusterState::leave_all(Deadline deadline) {
    std::vector<Task<>> leaving;
    {
        const std::lock_guard guard{served_change_};
        for (const auto& [served, leave] : leaves_) leaving.push_back(leave(deadline));
    }
    if (!leaving.empty()) co_await when_all(std::move(leaving));
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
    options.bind = {
        co_await net::address_of_setting(config_.bind_host.value_or(local_host_)), config_.bind_port
    };
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
    serving_.store(true);
    co_return server_.get();
}

Task<ClusterState::Advertised> ClusterState::advertised() {
    const auto* server = co_await this->server();
    auto chosen = net::host_of_setting(config_.advertise_host.value_or(server->address().host));
    if (!chosen) throw chosen.error();
    auto host = std::move(*chosen);
    if (net::Address{host, 0}.is_wildcard()) host = local_host_;
    const auto port = config_.advertise_port.value_or(server->address().port);
    // Real Dynamo clients take no names: their address is the number that the name stands for
    // today.
    const auto numeric = co_await net::address_of_setting(host);
    co_return Advertised{
        .mux = net::Address{host, port}.to_string(),
        .numeric = net::Address{numeric, port}.to_string(),
        .tls = config_.security.serves_tls(),
        .epoch = mux_.epoch,
    };
}

void ClusterState::add(
    std::shared_ptr<Served> served, std::shared_ptr<const observe::InstanceView> view, Leave leave
) {
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
    Shown shown{.entry = {}, .view = view};
    shown.entry = config_.health_of_process()->add(std::move(view));
    all.push_back(served);
    leaves_.emplace(served.get(), std::move(leave));
    served_.store(std::make_shared<ServedTable>(std::move(all)));
    if (!torn_down_.load()) shown_.emplace(served.get(), std::move(shown));
}

void ClusterState::remove(const Served& served) {
    const std::lock_guard guard{served_change_};
    auto all = served_.load().value->all();
    const auto its = std::ranges::find(all, &served, [](const auto& one) { return one.get(); });
    if (its != all.end()) {
        std::erase_if(left_behind_, [](const auto& one) { return one.expired(); });
        if (served.inflight() > 0) left_behind_.push_back(*its);
        all.erase(its);
    }
    served_.store(std::make_shared<ServedTable>(std::move(all)));
    shown_.erase(&served);
    leaves_.erase(&served);
}

/// Health and its instances hold each other until this.
void ClusterState::show_nothing() {
    const std::lock_guard guard{served_change_};
    shown_.clear();
}

/// A handler may hold a router of this cluster, and with it the cluster itself, until this.
void ClusterState::serve_nothing() {
    const std::lock_guard guard{served_change_};
    served_.store(std::make_shared<ServedTable>());
}

CancellationToken ClusterState::start_canary(std::shared_ptr<Canary> canary) {
    auto token = canaries_.token().child_token();
    auto run = [](std::shared_ptr<Canary> own) -> Task<> { co_await own->run(); };
    canaries_.spawn_on(runtime_.secondary().loop(0), run(std::move(canary)), token);
    return token;
}

observe::MetricScope ClusterState::metrics(const observe::Labels& labels) {
    const std::lock_guard guard{scopes_change_};
    const auto found = scopes_.find(labels);
    if (found != scopes_.end()) return found->second;
    return scopes_.emplace(labels, observe::MetricScope{observe::metrics(), labels}).first->second;
}

/// How many instances are in each state of their registration.
void ClusterState::collect_registrations(observe::Samples& samples) const {
    std::map<std::string, std::size_t> counts;
    for (std::size_t i = 1; i <= discovery::registration_states; ++i)
        counts.emplace(to_string(static_cast<discovery::RegistrationState>(i)), 0);
    {
        const std::lock_guard guard{served_change_};
        for (const auto& [served, shown] : shown_) {
            if (const auto view = shown.view.lock()) ++counts[view->health().registration];
        }
    }
    for (const auto& [state, count] : counts) {
        samples.gauge(
            "stator_registrations",
            "Instances served here, by the state of their registration",
            {{"instance_id", instance_id_.to_string()}, {"state", state}},
            static_cast<double>(count)
        );
    }
}

namespace {

void collect_memory(observe::Samples& samples, const observe::Labels& own, const auto& budget) {
    const auto gauge = [&](std::string_view name, std::string_view help, std::uint64_t value) {
        samples.gauge(name, help, own, static_cast<double>(value));
    };
    gauge(
        "stator_buffer_limit_bytes",
        "What connections may hold, windows or large messages",
        budget.half()
    );
    gauge(
        "stator_buffer_window_bytes", "Held for windows, and promised as credit", budget.windows()
    );
    gauge("stator_buffer_reserved_bytes", "Set aside for large messages", budget.reserved());
}

void collect_connections(
    observe::Samples& samples, const observe::Labels& own, const transport::RequestServer& server
) {
    samples.gauge(
        "stator_mux_connections",
        "Connections accepted of the native plane",
        own,
        static_cast<double>(server.mux_connections())
    );
    samples.gauge(
        "stator_dynamo_connections",
        "Connections accepted that bring requests of Dynamo's plane",
        own,
        static_cast<double>(server.dynamo_connections())
    );
}

}  // namespace

void ClusterState::collect(observe::Samples& samples) const {
    collect_registrations(samples);
    const observe::Labels own{{"instance_id", instance_id_.to_string()}};
    std::size_t running = 0;
    std::size_t waiting = 0;
    for (const auto& served : served_.load().value->all()) {
        auto labels = labels_of(served->id());
        labels.emplace_back("instance_id", served->instance().to_string());
        samples.gauge(
            "stator_instance_inflight_requests",
            "Requests being served, by instance",
            labels,
            static_cast<double>(served->inflight())
        );
        samples.gauge(
            "stator_instance_waiting_requests",
            "Requests that wait for their turn, by instance",
            labels,
            static_cast<double>(served->waiting())
        );
        running += served->inflight();
        waiting += served->waiting();
    }
    samples.gauge(
        "dynamo_engine_request", "Requests being served", own, static_cast<double>(running)
    );
    samples.gauge(
        "dynamo_request_queue",
        "Requests that wait for their turn",
        own,
        static_cast<double>(waiting)
    );
    samples.counter(
        "stator_lease_recoveries_total",
        "How often the store was lost",
        own,
        static_cast<double>(lease_.recoveries())
    );
    samples.gauge(
        "stator_registered",
        "1 while the store is known to hold what this process publishes",
        own,
        lease_.state() == store::LeaseState::alive ? 1 : 0
    );
    collect_memory(samples, own, *mux_.process);
    if (nats_) collect_nats(samples);
    if (serving_.load()) collect_connections(samples, own, *server_);
}

bool ClusterState::serves_others(const Served& served) const {
    if (runtime_.primary_token().cancelled()) return false;  // all of them end now
    const auto table = served_.load().value;
    return std::ranges::any_of(table->all(), [&](const auto& other) {
        return other.get() != &served && other->instance() == served.instance() &&
               !other->refusing() && !other->off_line();
    });
}

bool ClusterState::serves_here(std::string_view path, InstanceId instance) const {
    // Handlers run on primary loops: what the others have to do bears no waiting.
    const auto primary = runtime_.primary();
    const auto here = Loop::current()->index();
    if (here >= primary.size() || &primary.loop(here) != Loop::current()) return false;
    return config_.in_process_calls && served_.load().value->find(path, instance).has_value();
}

std::shared_ptr<LoadBook> ClusterState::load_book(const std::string& path) {
    const std::lock_guard guard{load_books_lock_};
    auto& known = load_books_[path];
    auto book = known.lock();
    if (!book) known = book = std::make_shared<LoadBook>();
    return book;
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
        auto dynamo = config_.dynamo;
        dynamo.process = mux_.process;
        side.dynamo_pool = std::make_unique<transport::DynamoPool>(transport::DynamoPool::Options{
            .config = dynamo,
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
        options.bind = {
            co_await net::address_of_setting(config_.response_host.value_or(local_host_)),
            config_.response_port
        };
        options.security = config_.security;
        auto told = net::host_of_setting(config_.response_advertise_host.value_or(""));
        if (!told) throw told.error();
        options.advertise_host = std::move(*told);
        if (options.advertise_host.empty() && options.bind.is_wildcard())
            options.advertise_host = local_host_;
        options.advertise_port = config_.response_advertise_port.value_or(std::uint16_t{0});
        options.loops = runtime_.loops();
        options.transports = runtime_.transports_token();
        call_home_ =
            co_await on_loop(first_loop(), transport::CallHomeServer::start(std::move(options)));
    }
    sides_.current().call_home = call_home_;
    co_return call_home_;
}

TaskScope& ClusterState::feeds() {
    auto& side = sides_.current();
    if (!side.feeds) side.feeds = std::make_unique<TaskScope>(runtime_.transports_token());
    return *side.feeds;
}

TaskScope& ClusterState::local_calls() {
    auto& side = sides_.current();
    if (!side.local_calls)
        side.local_calls = std::make_unique<TaskScope>(runtime_.requests_token());
    return *side.local_calls;
}

Result<transport::Serving> ClusterState::dispatch(
    std::unique_ptr<transport::ServerCall>& call, const transport::CallHead& head
) {
    auto& side = sides_.current();
    if (!side.served) side.served.emplace(served_);
    auto served = side.served->get()->find(head.path, head.instance);
    if (!served) {
        if (head.path == control_path) return serve_control(config_, call);
        return std::unexpected{std::move(served.error())};
    }
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
    auto admission = (*served)->admit();
    if (!admission) return std::unexpected{std::move(admission.error())};
    Context context{Context::Options{
        .id = head.request,
        .deadline = head.remaining.count() > 0 ? Deadline::in(head.remaining) : Deadline::never(),
        .headers = copied_headers(head),
        .trace = copied_trace(head),
        .place = &(*served)->place(),
        .kill_token = call->token(),
    }};
    const bool waits = !admission->admitted();
    AdmittedCall admitted{
        std::move(*served),
        std::move(call),
        std::move(context),
        *codec,
        head.shape,
        std::move(*admission),
    };
    if (waits)
        return transport::Serving{
            .task = serve_in_turn(std::move(admitted)), .loop = nullptr, .accepted = false
        };
    return start(std::move(admitted));
}

transport::Serving ClusterState::start(AdmittedCall&& admitted) {
    // A request that is still on its way is read by its own loop; so is a stream of them.
    Loop* const elsewhere =
        transport::one_request(admitted.shape) ? placement_.elsewhere() : nullptr;
    if (elsewhere == nullptr) return {serve_call(std::move(admitted))};
    auto request = admitted.call->try_next();
    if (!request) return {serve_call(std::move(admitted))};
    sink().count("component_requests_begun_elsewhere_total", 1);
    return {
        serve_call_elsewhere(
            std::move(admitted), std::move(*request), placement_.give_to(*elsewhere)
        ),
        elsewhere,
    };
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
    if (side.nats) co_await side.nats->close();
    side.nats.reset();
    side.call_home.reset();
    if (side.local_calls) co_await side.local_calls->close(CancelReason::shutdown);
    side.local_calls.reset();
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
    // One part that is closed by itself is cut; when everything ends, what was promised is kept.
    if (runtime_.primary_token().cancelled()) co_await leave_all(deadline);
    co_await departure_.close(CancelReason::shutdown);
    collector_ = {};  // waits for a text that is being made
    show_nothing();
    co_await canaries_.close(CancelReason::shutdown);
    if (server_) co_await on_loop(first_loop(), close_server(deadline));
    for (Loop* loop : runtime_.loops()) co_await on_loop(*loop, close_pool());
    co_await on_loop(first_loop(), close_call_home());
    serve_nothing();
    if (discovery_) co_await discovery_->close();
    co_await close_event_bus(deadline);
    if (nats_) co_await close_nats(deadline);
    // Last: locks and barriers of the application may hang on the lease. A store that does not
    // answer costs half of what is left: threads are joined after this.
    co_await store_->close(Deadline::in(deadline.remaining() / 2));
}

std::vector<std::string> ClusterState::unfinished() const {
    std::vector<std::string> lines;
    std::vector<std::shared_ptr<Served>> serving;
    {
        // Both under the lock: who is removed meanwhile is named once.
        const std::lock_guard guard{served_change_};
        serving = served_.load().value->all();
        for (const auto& one : left_behind_) {
            if (auto served = one.lock()) serving.push_back(std::move(served));
        }
    }
    for (const auto& served : serving) {
        auto more = served->running();
        lines.insert(
            lines.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end())
        );
    }
    for (const Loop* loop : runtime_.loops()) {
        if (loop->busy_for() > 1s) {
            const auto seconds =
                std::chrono::duration_cast<std::chrono::seconds>(loop->busy_for()).count();
            lines.push_back(fmt::format("loop {} held for {} s", loop->name(), seconds));
        }
    }
    return lines;
}

}  // namespace stator::inline component
