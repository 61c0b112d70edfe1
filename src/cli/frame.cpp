#include "cli/frame.hpp"

#include <utility>

#include <fmt/format.h>

#include "stator/observe/log_filter.hpp"
#include "stator/worker/worker.hpp"

namespace stator::cli {

namespace {

/// What the application's task leaves behind for whoever runs it, which outlives it.
struct Frame {
    std::move_only_function<Task<std::optional<Failure>>(Runtime)> work;
    std::optional<Failure> failure;
};

Task<std::optional<Failure>> connect_and_work(
    Runtime runtime, const DistributedConfig* config, bool serves, Work* work
) {
    auto cluster = serves ? co_await DistributedRuntime::connect(std::move(runtime), *config)
                          : co_await DistributedRuntime::for_cli(std::move(runtime), *config);
    co_return co_await (*work)(std::move(cluster));
}

Task<int> work_in(Runtime runtime, Frame* frame, bool ends_by_signal) {
    auto ended = co_await as_result(frame->work(std::move(runtime)));
    if (ended) {
        frame->failure = std::move(*ended);
    } else if (ended.error().code() != ErrorCode::cancelled || !ends_by_signal) {
        frame->failure = Failure::of(std::move(ended).error());
    }
    co_return frame->failure ? frame->failure->status : status_ok;
}

/// As the command's manners want them.
Result<settings::Settings> settings_for(const Manners& manners) {
    auto settings = load_settings();
    if (!settings || !manners.quiet) return settings;
    if (settings->source_of("logging.filter") == "default") settings->logging.filter = "warn";
    // The port is the worker's that these settings are for, not that of whoever looks at it.
    settings->system.port = -1;
    // So is the collector of its log.
    settings->logging.otlp_endpoint.clear();
    return settings;
}

int execute(const settings::Settings& settings, Manners manners, Frame frame) {
    const int status = Worker::with_settings(settings).execute([&](Runtime runtime) {
        return work_in(std::move(runtime), &frame, manners.ends_by_signal);
    });
    // Now that everything else has had its say: the error is the last line.
    return frame.failure ? report(*frame.failure) : status;
}

Result<DistributedConfig> config_of(const settings::Settings& settings) {
    std::exception_ptr failure;
    try {
        return DistributedConfig::from_settings(settings);
    } catch (const Error&) {
        failure = std::current_exception();
    }
    return std::unexpected{to_error(failure)};
}

}  // namespace

Result<settings::Settings> load_settings() {
    auto settings = settings::load_from_process();
    if (!settings) return settings;
    // A bad filter is a bad setting, not something to find out once threads run.
    const auto filter = observe::LogFilter::parse(settings->logging.filter);
    if (filter) return settings;
    const auto source = settings->source_of("logging.filter");
    return std::unexpected{filter.error().with_context(fmt::format("logging.filter from {}", source)
    )};
}

int run_in_runtime(Manners manners, PlainWork work) {
    const auto settings = settings_for(manners);
    if (!settings) return report(Failure::usage(settings.error()));
    return execute(
        *settings,
        manners,
        {.work = [&](Runtime runtime) { return work(std::move(runtime), *settings); }, .failure = {}
        }
    );
}

int run_in_cluster(Manners manners, Work work) {
    const auto settings = settings_for(manners);
    if (!settings) return report(Failure::usage(settings.error()));
    auto config = config_of(*settings);
    if (!config) return report(Failure::usage(config.error()));
    if (manners.looks_only) config->request_plane = settings::RequestPlane::tcp;
    return execute(
        *settings,
        manners,
        {.work =
             [&](Runtime runtime) {
                 return connect_and_work(std::move(runtime), &*config, !manners.quiet, &work);
             },
         .failure = {}}
    );
}

}  // namespace stator::cli
