// A worker in this process: its end, its callbacks, what the service manager hears.
#include "stator/worker/worker.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "stator/base/random.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/settings/settings.hpp"
#include "tests/support/refused_limits.hpp"
#include "worker/service_manager.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

settings::Settings quiet() {
    settings::Settings settings;
    settings.runtime.num_worker_threads = 2;
    settings.worker.graceful_shutdown_timeout = 10s;
    settings.system.starting_health_status = settings::HealthStatus::ready;
    settings.logging.filter = "error";
    return settings;
}

Task<> until_asked(Runtime runtime) {
    // Handles are not held across the wait: the end of the runtime does not wait for this frame.
    const auto token = runtime.primary_token();
    co_await token.wait();
}

void ask_to_end() { ::kill(::getpid(), SIGTERM); }

TEST(AWorker, EndsWhenItIsAsked) {
    auto worker = Worker::with_settings(quiet());
    auto status = worker.execute_async(until_asked);
    EXPECT_EQ(status.wait_for(20ms), std::future_status::timeout);
    ask_to_end();
    EXPECT_EQ(status.get(), 0);
}

TEST(AWorker, ExecutesOnce) {
    auto worker = Worker::with_settings(quiet());
    EXPECT_EQ(worker.execute([](Runtime) -> Task<int> { co_return 7; }), 7);
    for (const bool async : {false, true}) {
        try {
            if (async) {
                (void)worker.execute_async(until_asked);
            } else {
                (void)worker.execute(until_asked);
            }
            ADD_FAILURE() << "it executed again";
        } catch (const Error& error) {
            EXPECT_EQ(error.detail(), "worker.executed");
        }
    }
}

TEST(AWorker, AnApplicationThatThrowsIsExitOne) {
    auto settings = quiet();
    settings.logging.filter = "off";
    auto worker = Worker::with_settings(settings);
    EXPECT_EQ(
        worker.execute([](Runtime) -> Task<> {
            throw Error{ErrorCode::internal, "broken"};
            co_return;
        }),
        exit_failed
    );
}

TEST(AWorker, DrainCallbacksRunAtTheSameTimeAndAreWaitedFor) {
    for (const bool by_itself : {false, true}) {
        auto settings = quiet();
        settings.logging.filter = "off";
        auto worker = Worker::with_settings(settings);
        Event first;
        Event second;
        std::atomic<int> ended{0};
        // Each waits for the other: one after the other they would never end.
        const auto meet = [](Event* own, Event* other, std::atomic<int>* done) -> Task<> {
            own->set();
            co_await other->wait();
            co_await sleep_for(20ms);
            ++*done;
        };
        worker.on_drain("first", [&](Deadline deadline) {
            EXPECT_FALSE(deadline.is_never());
            return meet(&first, &second, &ended);
        });
        worker.on_drain("second", [&](Deadline) { return meet(&second, &first, &ended); });
        worker.on_drain("fails", [](Deadline) -> Task<> { throw Error{ErrorCode::internal, "x"}; });
        auto status = worker.execute_async([by_itself](Runtime runtime) -> Task<> {
            return by_itself ? []() -> Task<> { co_return; }() : until_asked(std::move(runtime));
        });
        if (!by_itself) {
            EXPECT_EQ(status.wait_for(20ms), std::future_status::timeout);
            EXPECT_FALSE(first.is_set());
            ask_to_end();
        }
        EXPECT_EQ(status.get(), 0);
        EXPECT_EQ(ended.load(), 2);
    }
}

TEST(AWorker, ASignalBeforeItExecutesEndsItAtOnce) {
    auto worker = Worker::with_settings(quiet());
    ask_to_end();
    EXPECT_EQ(worker.execute(until_asked), 0);
}

TEST(AWorker, AStatusServerThatCannotListenIsABadSetting) {
    auto settings = quiet();
    settings.logging.filter = "off";
    settings.system.port = 0;
    settings.system.host = "127.0.0.1";
    auto first = Worker::with_settings(settings);
    ASSERT_TRUE(first.status_address());
    settings.system.port = first.status_address()->port;
    auto second = Worker::with_settings(settings);
    EXPECT_FALSE(second.status_address());
    EXPECT_NE(observe::metrics().text(), "") << "nobody looks at what is gone";
    EXPECT_EQ(second.execute(until_asked), exit_usage);
    EXPECT_EQ(first.execute([](Runtime) -> Task<> { co_return; }), exit_ok);
}

/// The socket of a service manager.
class Manager {
public:
    Manager() {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        descriptor_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const timeval limit{.tv_sec = 10, .tv_usec = 0};
        ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        EXPECT_EQ(::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;
    ~Manager() {
        ::close(descriptor_);
        std::filesystem::remove(path);
    }
    std::string hear() const {
        char text[64];
        const auto size = ::recv(descriptor_, text, sizeof text, 0);
        return {text, static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
    }

    const std::string path =
        std::filesystem::temp_directory_path() / ("stator-notify-" + std::to_string(os_random()));

private:
    int descriptor_ = -1;
};

TEST(AWorker, WhoseDescriptorsStayFewRunsAllTheSame) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto run = [] {
        const rlimit low{.rlim_cur = 100, .rlim_max = 200};
        if (::setrlimit(RLIMIT_NOFILE, &low) != 0 || !test::refuse_new_limits()) std::abort();
        auto settings = quiet();
        settings.logging.filter = "warn";
        auto worker = Worker::with_settings(settings);
        std::_Exit(worker.execute([](Runtime) -> Task<int> { co_return 7; }));
    };
    EXPECT_EXIT(
        run(),
        ::testing::ExitedWithCode(7),
        "WARN.*cannot raise the limit of descriptors from 100 to 200"
    );
}

TEST(AServiceManager, HearsOfReadinessOfLifeAndOfTheEnd) {
    const Manager manager;
    ::setenv("NOTIFY_SOCKET", manager.path.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "40000", 1);
    auto worker = Worker::with_settings(quiet());
    auto status = worker.execute_async(until_asked);
    EXPECT_EQ(manager.hear(), "READY=1");
    EXPECT_EQ(manager.hear(), "WATCHDOG=1");
    EXPECT_EQ(manager.hear(), "WATCHDOG=1");
    ask_to_end();
    std::string heard;
    while (heard != "STOPPING=1") {
        heard = manager.hear();
        ASSERT_NE(heard, "");
    }
    EXPECT_EQ(status.get(), 0);
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
}

TEST(AServiceManager, IsToldWhatIsMeantForUs) {
    const Manager manager;
    EXPECT_FALSE(ServiceManager::from_environment());
    ::setenv("NOTIFY_SOCKET", "relative", 1);
    EXPECT_FALSE(ServiceManager::from_environment());
    ::setenv("NOTIFY_SOCKET", manager.path.c_str(), 1);
    ::setenv("WATCHDOG_USEC", "1000000", 1);
    ::setenv("WATCHDOG_PID", "1", 1);
    const auto of_another = ServiceManager::from_environment();
    ASSERT_TRUE(of_another);
    EXPECT_EQ(of_another->watchdog(), Duration::zero());
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
    EXPECT_EQ(ServiceManager::from_environment()->watchdog(), 1s);
    EXPECT_TRUE(of_another->tell("READY=1"));
    EXPECT_EQ(manager.hear(), "READY=1");
    EXPECT_FALSE((ServiceManager{"/nowhere/at/all", Duration::zero()}.tell("READY=1")));
    EXPECT_FALSE((ServiceManager{std::string(200, 'x'), Duration::zero()}.tell("READY=1")));
    for (const auto* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(name);
}

}  // namespace
}  // namespace stator
