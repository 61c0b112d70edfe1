#include "cli/frame.hpp"

#include <utility>

#include <fmt/format.h>

#include "stator/observe/log_filter.hpp"
#include "stator/worker/worker.hpp"

namespace stator::cli {

namespace {

/// What the application's task leaves behind for `run_in_cluster`, which outlives it.
struct Frame {
    DistributedConfig config;
    Work work;
    std::optional<Failure> failure;
};

Task<std::optional<Failure>> connect_and_work(Runtime runtime, Frame* frame) {
    auto cluster = co_await DistributedRuntime::connect(std::move(runtime), frame->config);
    co_return co_await frame->work(std::move(cluster));
}

Task<int> work_in(Runtime runtime, Frame* frame, bool ends_by_signal) {
    auto ended = co_await as_result(connect_and_work(std::move(runtime), frame));
    if (ended) {
        frame->failure = std::move(*ended);
    } else if (ended.error().code() != ErrorCode::cancelled || !ends_by_signal) {
        frame->failure = Failure::of(std::move(ended).error());
    }
    co_return frame->failure ? frame->failure->status : status_ok;
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

int run_in_cluster(Manners manners, Work work) {
    auto settings = load_settings();
    if (!settings) return report(Failure::usage(settings.error()));
    if (manners.quiet && settings->source_of("logging.filter") == "default") {
        settings->logging.filter = "warn";
    }
    auto config = config_of(*settings);
    if (!config) return report(Failure::usage(config.error()));
    Frame frame{std::move(*config), std::move(work), std::nullopt};
    const int status = Worker::with_settings(*settings).execute([&](Runtime runtime) {
        return work_in(std::move(runtime), &frame, manners.ends_by_signal);
    });
    // Now that everything else has had its say: the error is the last line.
    return frame.failure ? report(*frame.failure) : status;
}

}  // namespace stator::cli
