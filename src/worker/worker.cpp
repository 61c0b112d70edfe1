#include "stator/worker/worker.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <source_location>
#include <thread>

#include <fmt/format.h>

#include "stator/base/descriptor_limit.hpp"
#include "stator/base/sink.hpp"
#include "stator/observe/log.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/observe/observe.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/settings/settings.hpp"
#include "stator/worker/status_server.hpp"
#include "worker/drain_callbacks.hpp"
#include "worker/log_shipper.hpp"
#include "worker/service_manager.hpp"
#include "worker/signals.hpp"
#include "worker/vitals.hpp"

namespace stator::inline worker {

using namespace std::chrono_literals;

namespace {

constexpr auto flush_limit = 200ms;
// What the status server may still answer once everything else has ended.
constexpr auto last_answers = 200ms;
// timeout(1) signals its child and then the whole group, a terminal the group of a wrapper that
// passes its own signal on: what comes twice at once is asked once.
constexpr auto one_request = 100ms;

std::string joined(const std::vector<std::string>& parts) {
    constexpr std::size_t shown = 8;
    std::string text;
    for (std::size_t i = 0; i < std::min(parts.size(), shown); ++i)
        text += (i == 0 ? "" : ", ") + parts[i];
    if (parts.size() > shown) text += fmt::format(" and {} more", parts.size() - shown);
    return text.empty() ? "nothing that is known by name" : text;
}

void say(
    Severity severity,
    const std::string& line,
    std::source_location where = std::source_location::current()
) {
    sink().report(severity, "stator::worker", line, where);
}

/// What the application left behind. Written by its task before it tells the main thread.
struct Outcome {
    int status = exit_ok;
    std::optional<Error> error;
    std::atomic<bool> ended{false};
};

Task<> run_application(
    Task<int> app, CancellationToken root, Outcome* outcome, SignalQueue* signals
) {
    try {
        outcome->status = co_await with_token(std::move(root), std::move(app));
    } catch (...) {
        outcome->error = to_error(std::current_exception());
    }
    outcome->ended.store(true);
    signals->notify_done();
}

Task<> tear_down(
    Runtime runtime, Deadline deadline, std::atomic<bool>* ended, SignalQueue* signals
) {
    co_await runtime.tear_down(deadline);
    ended->store(true);
    signals->notify_done();
}

std::size_t jobs_of(const Runtime& runtime) {
    const auto& blocking = runtime.blocking();
    const auto& computing = runtime.computing();
    return blocking.running() + (&computing == &blocking ? 0 : computing.running());
}

/// Ends the status server after everybody else has ended: who looks after the process wants to know
/// how it ends. Its runtime is the one that owns it.
class StatusEnd final : public ShutdownParticipant {
public:
    StatusEnd(const Runtime& runtime, std::unique_ptr<StatusServer> server)
        : runtime_{runtime.unowned()}, server_{std::move(server)} {}

    const net::Address& address() const noexcept { return server_->address(); }
    Task<> tear_down(Deadline deadline) override {
        co_await on_loop(home(runtime_), close(earliest(deadline, Deadline::in(last_answers))));
    }
    std::vector<std::string> unfinished() const override { return {}; }
    /// The server belongs to one loop.
    static Loop& home(const Runtime& runtime) noexcept { return runtime.secondary().loop(0); }

private:
    Task<> close(Deadline deadline) {
        if (!server_) co_return;
        co_await server_->close(deadline);
        server_.reset();
    }
    Runtime runtime_;
    std::unique_ptr<StatusServer> server_;
};

}  // namespace

struct Worker::State {
    SignalQueue signals;  // first: every thread made later inherits its mask
    std::optional<Error> bad_settings;
    std::optional<Runtime> runtime;
    observe::Collector vitals;  // before the runtime goes
    EngineRoutes engine;
    std::optional<net::Address> status_address;
    DrainCallbacks drain;
    std::optional<ServiceManager> service = ServiceManager::from_environment();
    std::string phase;
    TimePoint phase_begun{};
    bool executed = false;
    bool asked_to_end = false;
    TimePoint asked_at{};

    void start(const settings::Settings& settings);
    static void raise_descriptors(std::uint64_t wanted);
    void start_runtime(const settings::Settings& settings);
    static void start_log_shipper(
        const Runtime& started, const settings::LoggingSettings& settings
    );
    /// Before anything else of the application's is: who is up last goes first.
    void start_status_server(const Runtime& started, const settings::Settings& settings);
    /// Handles signals until `ended` holds, which is asked when somebody calls `notify_done`.
    void wait_until(const std::function<bool()>& ended);
    /// A phase of the end, with what it waits for; measures the one before.
    void enter(std::string_view phase, std::string_view waits_for);
    void tell_service_manager();
    void handle(int signal);
    [[noreturn]] void give_up(std::string_view why) const;
    /// Joins every thread of the runtime, bounded by the deadline.
    void join();
};

void Worker::State::start(const settings::Settings& settings) {
    if (auto started = observe::start(settings); !started) {
        bad_settings = std::move(started.error());
        return;
    }
    say(Severity::debug, "settings: " + settings::summary(settings));
    raise_descriptors(settings.worker.descriptor_limit);
    try {
        start_runtime(settings);
    } catch (const Error& error) {
        bad_settings = error;
    }
}

/// A process that may not is a process all the same.
void Worker::State::raise_descriptors(std::uint64_t wanted) {
    const auto before = descriptor_limit();
    const auto now = before ? raise_descriptor_limit(wanted) : before;
    if (!now) return say(Severity::warn, now.error().what());
    if (now->soft != before->soft) {
        say(Severity::info,
            fmt::format(
                "limit of descriptors raised from {} to {}, the hard one is {}",
                before->soft,
                now->soft,
                now->hard
            ));
    }
}

void Worker::State::start_runtime(const settings::Settings& settings) {
    auto started = Runtime::from_settings(settings);
    const auto& system = settings.system;
    observe::health()->configure({
        .ready_at_start = system.starting_health_status == settings::HealthStatus::ready,
        .deciding = system.use_endpoint_health_status,
    });
    if (!settings.logging.otlp_endpoint.empty()) start_log_shipper(started, settings.logging);
    if (system.port >= 0) start_status_server(started, settings);
    // Last: a runtime that is given up again must not be looked at.
    vitals = collect_vitals(started, observe::health());
    runtime.emplace(std::move(started));
}

void Worker::State::start_log_shipper(
    const Runtime& started, const settings::LoggingSettings& settings
) {
    auto collector = collector_of(settings);
    if (!collector) throw collector.error();
    const auto shipper = std::make_shared<LogShipper>(
        started,
        LogShipper::Options{.collector = std::move(*collector), .service = settings.service_name}
    );
    shipper->start();
    started.add_participant(shipper);
}

void Worker::State::start_status_server(
    const Runtime& started, const settings::Settings& settings
) {
    net::Security security;
    if (settings.system.tls) {
        auto loaded = net::Security::load(settings.tls);
        if (!loaded) throw loaded.error();
        security = std::move(*loaded);
        if (!security.serves_tls()) {
            throw Error{
                ErrorCode::invalid_request,
                "worker.status_tls",
                "DYN_SYSTEM_TLS is set, and no certificate: DYN_TCP_TLS_CERT_PATH"
            };
        }
    }
    auto server = started.block_on(on_loop(
        StatusEnd::home(started),
        StatusServer::start(
            started, {.settings = settings, .security = std::move(security), .engine = engine}
        )
    ));
    status_address = server->address();
    started.add_participant(std::make_shared<StatusEnd>(started, std::move(server)));
}

void Worker::State::handle(int signal) {
    if (signal == SIGUSR1) {
        observe::metrics().write(std::cerr);
        std::cerr.flush();
        return;
    }
    const auto now = Clock::steady().now();
    if (std::exchange(asked_to_end, true)) {
        if (now - asked_at < one_request) return;
        give_up("a second signal");
    }
    asked_at = now;
    const auto seconds = std::chrono::duration<double>(runtime->graceful_timeout()).count();
    say(Severity::info,
        fmt::format("{}: ending within {:g} s", signal == SIGINT ? "SIGINT" : "SIGTERM", seconds));
    if (service) (void)service->tell("STOPPING=1");
    runtime->shutdown();
}

void Worker::State::wait_until(const std::function<bool()>& ended) {
    while (!ended()) {
        const auto event = signals.wait(runtime->shutdown_deadline());
        switch (event.kind) {
            case SignalQueue::Kind::done:
                break;  // of whatever: asked above
            case SignalQueue::Kind::signal:
                handle(event.signal);
                break;
            case SignalQueue::Kind::deadline:
                give_up("the grace period has run out");
        }
    }
}

void Worker::State::give_up(std::string_view why) const {
    auto unfinished = runtime->unfinished();
    for (auto& name : drain.unfinished()) unfinished.push_back(std::move(name));
    if (const auto jobs = jobs_of(*runtime); jobs > 0)
        unfinished.push_back(fmt::format("{} blocking calls", jobs));
    say(Severity::error, fmt::format("{}; unfinished: {}", why, joined(unfinished)));
    log::flush(flush_limit);
    std::_Exit(exit_timeout);
}

void Worker::State::join() {
    std::atomic<bool> stopped{false};
    std::thread joiner{[&] {
        runtime->stop();
        // A thread that does not come back is noticed here, not by whoever destroys the runtime.
        runtime->blocking().finish();
        runtime->computing().finish();
        stopped.store(true);
        signals.notify_done();
    }};
    wait_until([&] { return stopped.load(); });
    joiner.join();
}

void Worker::State::enter(std::string_view next, std::string_view waits_for) {
    const auto now = Clock::steady().now();
    if (!phase.empty()) {
        observe::metrics()
            .gauge(
                "stator_shutdown_phase_seconds",
                "How long the phases of the latest shutdown took",
                {{"phase", phase}}
            )
            .set(std::chrono::duration<double>(now - phase_begun).count());
    }
    phase = next;
    phase_begun = now;
    if (next == "ended") return;
    // A command that came to its own end has nothing to add.
    sink().report(
        asked_to_end ? Severity::info : Severity::debug,
        "stator::worker",
        fmt::format("{}: waiting for {}", next, waits_for)
    );
}

void Worker::State::tell_service_manager() {
    if (!service) return;
    const auto stall = runtime->settings().system.live_stall;
    ServiceManager::Signs signs{
        .ready = [of = runtime->unowned()] { return health_of(*observe::health(), of).ready; },
        .live = [of = runtime->unowned(), stall] { return stuck_loops(of, stall).empty(); },
    };
    runtime->secondary().spawn(service->accompany(std::move(signs)));
}

Worker::Worker(std::unique_ptr<State> state) noexcept : state_{std::move(state)} {}
Worker::Worker(Worker&&) noexcept = default;
Worker::~Worker() = default;

Worker Worker::from_settings() {
    auto state = std::make_unique<State>();
    auto loaded = settings::load_from_process();
    if (loaded) {
        state->start(*loaded);
    } else {
        state->bad_settings = std::move(loaded.error());
    }
    return Worker{std::move(state)};
}

Worker Worker::with_settings(const settings::Settings& settings) {
    auto state = std::make_unique<State>();
    state->start(settings);
    return Worker{std::move(state)};
}

Task<int> Worker::succeed(Task<> app) {
    co_await std::move(app);
    co_return exit_ok;
}

const EngineRoutes& Worker::engine() const noexcept { return state_->engine; }
std::optional<net::Address> Worker::status_address() const { return state_->status_address; }

void Worker::on_drain(std::string name, std::function<Task<>(Deadline)> callback) {
    state_->drain.add(std::move(name), std::move(callback));
}

void Worker::claim() {
    if (std::exchange(state_->executed, true)) {
        throw Error{
            ErrorCode::invalid_request, "worker.executed", "a worker executes one application"
        };
    }
}

int Worker::run_claimed(Application app) {
    if (state_->bad_settings) {
        say(Severity::error, state_->bad_settings->what());
        log::flush(flush_limit);
        return exit_usage;
    }
    auto& runtime = *state_->runtime;
    Outcome outcome;
    runtime.primary().spawn(
        run_application(app(runtime), runtime.primary_token(), &outcome, &state_->signals)
    );
    runtime.primary().spawn(state_->drain.run(runtime, &state_->signals));
    state_->tell_service_manager();
    state_->wait_until([&] { return outcome.ended.load(); });
    runtime.shutdown();  // starts the clock if nobody has
    state_->enter("drain", "drain callbacks");
    state_->wait_until([&] { return state_->drain.ended(); });
    state_->enter("cut", "connections to close and the lease to be revoked");
    std::atomic<bool> torn_down{false};
    runtime.secondary().spawn(
        tear_down(runtime, runtime.shutdown_deadline(), &torn_down, &state_->signals)
    );
    state_->wait_until([&] { return torn_down.load(); });
    state_->enter("join", "the threads of the loops");
    state_->join();
    state_->enter("ended", "nothing");

    const auto& counts = runtime.shutdown_counts();
    const bool told =
        state_->asked_to_end && outcome.error && outcome.error->code() == ErrorCode::cancelled;
    if (outcome.error && !told) {
        say(Severity::error, fmt::format("the application failed: {}", outcome.error->what()));
        outcome.status = exit_failed;
    }
    // A command that came to its own end has nothing to add.
    if (state_->asked_to_end || counts.stopped + counts.killed > 0) {
        say(Severity::info,
            fmt::format(
                "ended; {} requests were asked to stop, {} were killed",
                counts.stopped.load(),
                counts.killed.load()
            ));
    }
    log::flush(flush_limit);
    return outcome.status;
}

}  // namespace stator::inline worker
