#include "cli/arguments.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/bench_options.hpp"
#include "cli/store_options.hpp"
#include "stator/base/nearest.hpp"
#include "stator/base/text.hpp"

namespace stator::cli {

namespace {

constexpr std::uint32_t most_instances = 1024;
constexpr std::uint64_t most_requests = 10'000'000;  // each leaves its latency in memory
constexpr std::uint32_t most_concurrency = 1'000'000;
constexpr double longest_timeout = 30.0 * 24 * 3600;  // seconds

constexpr std::array<std::string_view, 14> commands{
    "serve",
    "call",
    "bench",
    "ls",
    "watch",
    "drain",
    "resume",
    "doctor",
    "kv",
    "lock",
    "barrier",
    "nats",
    "events",
    "config"
};

constexpr const char* exit_statuses =
    "Exit status: 0 success, 2 wrong usage, settings, path or JSON, 3 unavailable,\n"
    "4 deadline exceeded, 5 overloaded, 6 cancelled, 1 any other error.\n"
    "The last line on stderr is then the error as JSON.";

std::unexpected<Error> usage(std::string message) {
    return fail(ErrorCode::invalid_request, "cli.usage", std::move(message));
}

/// What CLI11 leaves behind, before it is understood.
struct RawArguments {
    std::string endpoint;
    std::string request;
    std::string input;
    std::string shape = "server";
    std::string mode;
    std::string instance;
    std::string process;
    std::string plane = "auto";
    std::string prefix;
    double timeout = 60.0;
    std::int64_t instances = 1;
    std::int64_t max_inflight = 0;
    std::int64_t queue = 0;
    std::int64_t max_wait_ms = 1000;
    std::int64_t count = 1;
    std::int64_t concurrency = 1;
    bool json = false;
    bool models = false;
    std::optional<std::string> openai_model;
    RawBenchOptions bench;
    RawStoreOptions store;
    RawEventOptions events;
    RawNatsOptions nats;
};

template <class T>
Result<T> bounded(
    std::string_view option, std::int64_t value, std::int64_t least, std::int64_t most
) {
    if (value < least || value > most) {
        return usage(fmt::format("{} must be from {} to {}, not {}", option, least, most, value));
    }
    return static_cast<T>(value);
}

Result<EndpointId> endpoint_of(const RawArguments& raw) {
    auto id = EndpointId::parse(raw.endpoint);
    if (!id) return std::unexpected{id.error().with_context("the endpoint")};
    return id;
}

Result<RouterMode> mode_of(const RawArguments& raw) {
    if (raw.mode.empty())
        return raw.instance.empty() ? RouterMode::round_robin : RouterMode::direct;
    for (const auto mode :
         {RouterMode::round_robin,
          RouterMode::random,
          RouterMode::direct,
          RouterMode::power_of_two,
          RouterMode::least_loaded,
          RouterMode::peak_ewma,
          RouterMode::device_aware}) {
        if (raw.mode == to_string(mode)) return mode;
    }
    return usage(fmt::format(
        "no mode is called {}; there are round_robin, random, direct, p2c, least_loaded, "
        "peak_ewma and device_aware",
        quoted_text(raw.mode)
    ));
}

Result<Plane> plane_of(const RawArguments& raw) {
    if (raw.plane == "auto") return Plane::any;
    for (const auto plane : {Plane::mux, Plane::dynamo}) {
        if (raw.plane == to_string(plane)) return plane;
    }
    return usage(
        fmt::format("no plane is called {}; there are auto, mux and dynamo", quoted_text(raw.plane))
    );
}

Result<transport::CallShape> shape_of(const RawArguments& raw) {
    using enum transport::CallShape;
    if (raw.shape == "unary") return unary;
    if (raw.shape == "server") return server_streaming;
    if (raw.shape == "client") return client_streaming;
    if (raw.shape == "bidirectional") return bidirectional;
    return usage(fmt::format(
        "no shape is called {}; there are unary, server, client and bidirectional",
        quoted_text(raw.shape)
    ));
}

/// A call has a request or an input, and stdin can be read once only.
Result<void> check_input(const RawArguments& raw) {
    if (raw.request.empty() && raw.input.empty()) {
        return usage("the request is missing: give it as JSON, or its items with --input FILE");
    }
    if (!raw.request.empty() && !raw.input.empty()) {
        return usage("--input takes the place of the request; give one of them");
    }
    if (raw.input == "-" && raw.count > 1) {
        return usage("--input - can be read for one call only; --count needs a file");
    }
    return {};
}

Result<InstanceId> instance_of(const RawArguments& raw, RouterMode mode) {
    if (raw.instance.empty()) {
        if (mode != RouterMode::direct) return InstanceId{};
        return usage("--mode direct needs --instance ID; `stator ls` lists the ids");
    }
    if (mode != RouterMode::direct) {
        return usage(fmt::format("--instance goes with --mode direct, not {}", to_string(mode)));
    }
    auto id = InstanceId::parse(raw.instance);
    if (!id) return std::unexpected{id.error().with_context("--instance")};
    return id;
}

Result<Duration> timeout_of(const RawArguments& raw) {
    if (!(raw.timeout > 0 && raw.timeout <= longest_timeout)) {
        return usage(fmt::format(
            "--timeout must be above 0 and at most {} seconds, not {}", longest_timeout, raw.timeout
        ));
    }
    const auto seconds = std::chrono::duration<double>{raw.timeout};
    return std::max(std::chrono::duration_cast<Duration>(seconds), Duration{1});
}

Result<QueueOptions> queue_of(const RawArguments& raw) {
    QueueOptions queue;
    auto length =
        bounded<std::uint32_t>("--queue", raw.queue, 0, std::numeric_limits<std::uint32_t>::max());
    if (!length) return std::unexpected{std::move(length).error()};
    if (*length > 0 && raw.max_inflight == 0) return usage("--queue needs --max-inflight");
    queue.length = *length;
    const auto wait = bounded<std::uint32_t>("--max-wait-ms", raw.max_wait_ms, 1, 3'600'000);
    if (!wait) return std::unexpected{wait.error()};
    queue.max_wait = std::chrono::milliseconds{*wait};
    return queue;
}

Result<Arguments> serve_arguments(const RawArguments& raw) {
    auto endpoint = endpoint_of(raw);
    if (!endpoint) return std::unexpected{std::move(endpoint).error()};
    auto instances = bounded<std::uint32_t>("--instances", raw.instances, 1, most_instances);
    if (!instances) return std::unexpected{std::move(instances).error()};
    auto max_inflight = bounded<std::uint32_t>(
        "--max-inflight", raw.max_inflight, 0, std::numeric_limits<std::uint32_t>::max()
    );
    if (!max_inflight) return std::unexpected{std::move(max_inflight).error()};
    const auto queue = queue_of(raw);
    if (!queue) return std::unexpected{queue.error()};
    const auto shape = shape_of(raw);
    if (!shape) return std::unexpected{shape.error()};
    if (raw.openai_model == "") return usage("--openai-model needs the name of the model");
    if (raw.openai_model && raw.shape != "server")
        return usage("--openai-model has a shape of its own");
    return ServeArguments{
        std::move(*endpoint),
        *instances,
        *max_inflight,
        *queue,
        *shape,
        raw.openai_model.value_or("")
    };
}

Result<Arguments> call_arguments(const RawArguments& raw, bool summary) {
    CallArguments call;
    auto endpoint = endpoint_of(raw);
    if (!endpoint) return std::unexpected{std::move(endpoint).error()};
    if (auto good = check_input(raw); !good) return std::unexpected{std::move(good).error()};
    const auto mode = mode_of(raw);
    if (!mode) return std::unexpected{mode.error()};
    const auto plane = plane_of(raw);
    if (!plane) return std::unexpected{plane.error()};
    const auto instance = instance_of(raw, *mode);
    if (!instance) return std::unexpected{instance.error()};
    const auto timeout = timeout_of(raw);
    if (!timeout) return std::unexpected{timeout.error()};
    const auto count = bounded<std::uint64_t>("--count", raw.count, 1, most_requests);
    if (!count) return std::unexpected{count.error()};
    const auto concurrency =
        bounded<std::uint32_t>("--concurrency", raw.concurrency, 1, most_concurrency);
    if (!concurrency) return std::unexpected{concurrency.error()};
    return CallArguments{
        .endpoint = std::move(*endpoint),
        .request = raw.request,
        .input = raw.input,
        .mode = *mode,
        .instance = *instance,
        .plane = *plane,
        .timeout = *timeout,
        .count = *count,
        .concurrency = *concurrency,
        .summary = summary,
    };
}

Result<Arguments> bench_arguments(const RawArguments& raw) {
    auto endpoint = endpoint_of(raw);
    if (!endpoint) return std::unexpected{std::move(endpoint).error()};
    const auto mode = mode_of(raw);
    if (!mode) return std::unexpected{mode.error()};
    const auto plane = plane_of(raw);
    if (!plane) return std::unexpected{plane.error()};
    const auto instance = instance_of(raw, *mode);
    if (!instance) return std::unexpected{instance.error()};
    const auto timeout = timeout_of(raw);
    if (!timeout) return std::unexpected{timeout.error()};
    const auto load = bench_load_of(raw.bench);
    if (!load) return std::unexpected{load.error()};
    return BenchArguments{
        .endpoint = std::move(*endpoint),
        .mode = *mode,
        .instance = *instance,
        .plane = *plane,
        .timeout = *timeout,
        .load = *load,
        .json = raw.json,
    };
}

Result<Arguments> list_arguments(const RawArguments& raw) {
    return ListArguments{raw.json, raw.models};
}

Result<Arguments> watch_arguments(const RawArguments& raw) {
    if (raw.prefix.empty()) return WatchArguments{};
    std::string_view rest = raw.prefix;
    if (rest.ends_with('.')) rest.remove_suffix(1);
    if (auto good = check_namespace(rest); !good) {
        return std::unexpected{good.error().with_context("the prefix of names to watch")};
    }
    return WatchArguments{std::string{rest}};
}

Result<InstanceId> id_of(std::string_view option, const std::string& text) {
    if (text.empty()) return InstanceId{};
    auto id = InstanceId::parse(text);
    if (!id) return std::unexpected{id.error().with_context(std::string{option})};
    return id;
}

Result<Arguments> control_arguments(const RawArguments& raw, ControlRequest::Action action) {
    ControlArguments control{.action = action, .endpoint = std::nullopt};
    const auto process = id_of("--process", raw.process);
    if (!process) return std::unexpected{process.error()};
    control.process = *process;
    const auto instance = id_of("--instance", raw.instance);
    if (!instance) return std::unexpected{instance.error()};
    control.instance = *instance;
    if (raw.endpoint.empty() != control.process.operator bool())
        return usage("give either ns.component.endpoint or --process ID");
    if (raw.endpoint.empty()) {
        if (control.instance) return usage("--instance goes with an endpoint, not with --process");
        return control;
    }
    auto endpoint = endpoint_of(raw);
    if (!endpoint) return std::unexpected{std::move(endpoint).error()};
    control.endpoint = std::move(*endpoint);
    return control;
}

Result<Arguments> doctor_arguments(const RawArguments& raw) {
    DoctorArguments doctor{.endpoint = {}, .json = raw.json};
    if (raw.endpoint.empty()) return doctor;
    auto endpoint = endpoint_of(raw);
    if (!endpoint) return std::unexpected{std::move(endpoint).error()};
    doctor.endpoint = std::move(*endpoint);
    return doctor;
}

Result<Arguments> nats_arguments(const RawNatsOptions& raw, const CLI::App& nats) {
    if (nats.got_subcommand("object")) return object_arguments(raw, *nats.get_subcommand("object"));
    return nats_info_arguments(raw);
}

/// The program's options and commands, bound to one RawArguments. Neither copyable nor movable.
class Grammar {
public:
    explicit Grammar(std::string version) {
        app_.require_subcommand(1);
        app_.set_version_flag("--version", std::move(version));
        app_.footer(exit_statuses);
        add_serve();
        add_call();
        add_bench();
        auto* list = app_.add_subcommand("ls", "List the registered instances");
        list->add_flag("--json", raw_.json, "One JSON array instead of a table");
        list->add_flag("--models", raw_.models, "Models instead of instances");
        auto* watch = app_.add_subcommand("watch", "Show discovery events as JSON lines");
        watch->add_option("prefix", raw_.prefix, "The beginning of ns.component.endpoint");
        auto* doctor = app_.add_subcommand("doctor", "Tell why instances cannot be reached");
        doctor->add_option("endpoint", raw_.endpoint, "ns.component.endpoint (every instance)");
        doctor->add_flag("--json", raw_.json, "One JSON array instead of a table");
        add_store_commands(app_, raw_.store);
        add_nats_commands(app_, raw_.nats);
        add_event_commands(app_, raw_.events);
        add_control("drain", "Take what is served off line; requests that run finish");
        add_control("resume", "Put what was drained on line again");
        auto* config = app_.add_subcommand("config", "Show every setting, its value and source");
        config->add_flag("--json", raw_.json, "One JSON array instead of a table");
    }
    Grammar(const Grammar&) = delete;
    Grammar& operator=(const Grammar&) = delete;

    Result<Arguments> parse(int argc, const char* const* argv) {
        try {
            app_.parse(argc, argv);
        } catch (const CLI::CallForVersion& version) {
            return Text{fmt::format("{}\n", version.what())};
        } catch (const CLI::CallForHelp&) {
            return Text{app_.help()};
        } catch (const CLI::ParseError& error) {
            return usage(first_line(error.what()));
        }
        return understood();
    }

private:
    void add_serve() {
        auto* serve = app_.add_subcommand("serve", "Serve the diagnostic endpoint");
        serve->add_option("endpoint", raw_.endpoint, "ns.component.endpoint")->required();
        serve->add_option("--instances", raw_.instances, "Instances, each with an id (1)");
        serve->add_option("--max-inflight", raw_.max_inflight, "Requests at a time, of each (any)");
        serve->add_option(
            "--queue", raw_.queue, "Requests of each that may wait for their turn (0)"
        );
        serve->add_option("--max-wait-ms", raw_.max_wait_ms, "How long one may wait (1000)");
        serve->add_option(
            "--shape", raw_.shape, "unary, server (default), client or bidirectional"
        );
        serve->add_option(
            "--openai-model",
            raw_.openai_model,
            "Instead: a small language model of that name, for OpenAI frontends"
        );
    }

    void add_call() {
        auto* call = app_.add_subcommand("call", "Call an endpoint, print its items as JSON lines");
        call->add_option("endpoint", raw_.endpoint, "ns.component.endpoint")->required();
        call->add_option("request", raw_.request, "The request as JSON; - reads it from stdin");
        call->add_option(
            "--input", raw_.input, "Instead: a stream of requests, the lines of a file; - is stdin"
        );
        call->add_option(
            "--mode",
            raw_.mode,
            "round_robin (default), random, p2c, least_loaded, peak_ewma, device_aware or direct"
        );
        call->add_option("--instance", raw_.instance, "Whom to ask, in hex; means --mode direct");
        call->add_option("--timeout", raw_.timeout, "Seconds for each whole request (60)");
        count_ = call->add_option("--count", raw_.count, "Requests; ends with a summary on stderr");
        call->add_option("--concurrency", raw_.concurrency, "Requests at a time (1)");
        call->add_option("--plane", raw_.plane, "auto (default), mux or dynamo");
    }

    void add_bench() {
        auto* bench = app_.add_subcommand("bench", "Put load on a diagnostic endpoint, measure it");
        bench->add_option("endpoint", raw_.endpoint, "ns.component.endpoint")->required();
        add_bench_options(*bench, raw_.bench);
        bench->add_option(
            "--mode",
            raw_.mode,
            "round_robin (default), random, p2c, least_loaded, peak_ewma, device_aware or direct"
        );
        bench->add_option("--instance", raw_.instance, "Whom to ask, in hex; means --mode direct");
        bench->add_option("--timeout", raw_.timeout, "Seconds for each whole request (60)");
        bench->add_option("--plane", raw_.plane, "auto (default), mux or dynamo");
        bench->add_flag("--json", raw_.json, "One JSON object instead of a table");
    }

    void add_control(const char* name, const char* about) {
        auto* control = app_.add_subcommand(name, about);
        control->add_option("endpoint", raw_.endpoint, "ns.component.endpoint");
        control->add_option("--instance", raw_.instance, "One instance of it, in hex (each)");
        control->add_option(
            "--process",
            raw_.process,
            "Instead: all that the process serves which has this instance"
        );
    }

    static std::string first_line(std::string text) {
        text.erase(std::min(text.find('\n'), text.size()));
        return text;
    }

    Result<Arguments> understood() const {
        const auto chosen = app_.get_subcommands();
        const std::string name = chosen.empty() ? "" : chosen.front()->get_name();
        if (name == "serve") return serve_arguments(raw_);
        if (name == "call") return call_arguments(raw_, count_->count() > 0);
        if (name == "bench") return bench_arguments(raw_);
        if (name == "ls") return list_arguments(raw_);
        if (name == "watch") return watch_arguments(raw_);
        if (name == "drain") return control_arguments(raw_, ControlRequest::Action::drain);
        if (name == "resume") return control_arguments(raw_, ControlRequest::Action::resume);
        if (name == "doctor") return doctor_arguments(raw_);
        if (name == "kv") return kv_arguments(raw_.store, *chosen.front());
        if (name == "lock") return lock_arguments(raw_.store);
        if (name == "events") return event_arguments(raw_.events, *chosen.front());
        if (name == "barrier") return barrier_arguments(raw_.store);
        if (name == "nats") return nats_arguments(raw_.nats, *chosen.front());
        return ConfigArguments{raw_.json};
    }

    RawArguments raw_;
    CLI::App app_{"The distributed runtime for inference services", "stator"};
    CLI::Option* count_ = nullptr;
};

/// What CLI11 would say less about: the first word is no command.
std::optional<Error> no_command(int argc, const char* const* argv) {
    const std::string_view word = argc < 2 ? std::string_view{} : argv[1];
    if (word == "--help" || word == "-h" || word == "--version") return std::nullopt;
    if (std::ranges::find(commands, word) != commands.end()) return std::nullopt;
    std::string message = "a command is missing;";
    if (!word.empty()) {
        const auto* kind = word.starts_with('-') ? "option" : "command";
        message = fmt::format("no {} is called {};", kind, quoted_text(word));
    }
    const auto near = word.empty() ? std::nullopt : nearest(word, commands);
    if (near) message += fmt::format(" did you mean {}?", *near);
    message += fmt::format(" there are {}", fmt::join(commands, ", "));
    return Error{ErrorCode::invalid_request, "cli.usage", std::move(message)};
}

}  // namespace

Result<Arguments> parse_arguments(int argc, const char* const* argv) {
    if (auto missing = no_command(argc, argv)) return std::unexpected{std::move(*missing)};
    return Grammar{"stator " STATOR_VERSION}.parse(argc, argv);
}

}  // namespace stator::cli
