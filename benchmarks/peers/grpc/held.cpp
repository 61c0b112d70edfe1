// Held streams: what they take, and how requests beyond the limit are refused. And the first answer
// of a server that has just started.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "grpc/peer.hpp"
#include "load.grpc.pb.h"

namespace bench::grpc_peer {
namespace {

constexpr auto opening_limit = std::chrono::seconds{60};
// As many as the other peers open at once.
constexpr std::uint32_t most_opening = 512;

/// Counts held streams; its threads wait for one another.
class Held {
public:
    void opened() {
        change([this] { ++open_; });
    }
    void failed() {
        change([this] { ++failed_; });
    }
    std::uint32_t open() {
        const std::scoped_lock lock{mutex_};
        return open_;
    }
    /// Until that many have opened or failed; false after the limit.
    bool wait_for(std::uint32_t count) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, opening_limit, [&] { return open_ + failed_ >= count; });
    }

private:
    template <class F>
    void change(F count) {
        const std::scoped_lock lock{mutex_};
        count();
        changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint32_t open_ = 0;
    std::uint32_t failed_ = 0;
};

/// One held stream; lives as long as the process, which ends with it open.
class HeldStream final : public grpc::ClientReadReactor<Item> {
public:
    HeldStream(Load::Stub& stub, const Request& request, Held& held) : held_{held} {
        stub.async()->Hold(&context_, &request, this);
        StartRead(&item_);
        StartCall();
    }
    void OnReadDone(bool ok) override {
        if (!ok) return;
        has_item_ = true;
        held_.opened();
        StartRead(&item_);
    }
    void OnDone(const grpc::Status&) override {
        if (!has_item_) held_.failed();
    }

private:
    Held& held_;
    grpc::ClientContext context_;
    Item item_;
    bool has_item_ = false;
};

Request request_of(const Options& options) {
    Request request;
    request.set_size(options.size);
    request.set_payload(std::string(options.size, 'x'));
    return request;
}

void sleep_seconds(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
}

/// Opens all; the streams are left to the process.
void hold_all(Load::Stub& stub, const Options& options, Held& held) {
    const auto request = request_of(options);
    for (std::uint32_t i = 0; i < options.concurrency; ++i) {
        if (i >= most_opening && !held.wait_for(i - most_opening)) break;
        new HeldStream{stub, request, held};
    }
    held.wait_for(options.concurrency);
}

/// Ends the process without waiting for its streams.
[[noreturn]] void leave(const Window& window, const Options& options, const Tally& tally) {
    window.report("grpc", options, tally);
    std::_Exit(0);
}

[[noreturn]] void run_idle(const Options& options) {
    const auto stub = connect(options.port);
    grpc::ClientContext context;
    Item reply;
    const auto asked = stub->Echo(&context, request_of(options), &reply);
    sleep_seconds(options.warmup);
    Window window;
    Held held;
    window.open();
    hold_all(*stub, options, held);
    window.close();
    sleep_seconds(options.seconds);
    Tally tally;
    tally.requests = held.open();
    tally.errors = options.concurrency - held.open() + (asked.ok() ? 0 : 1);
    leave(window, options, tally);
}

[[noreturn]] void run_over_limit(const Options& options) {
    const auto stub = connect(options.port);
    Held held;
    hold_all(*stub, options, held);
    const auto request = request_of(options);
    const auto began = Clock::now();
    const std::chrono::duration<double> warmup{options.warmup};
    const std::chrono::duration<double> whole{options.warmup + options.seconds};
    Window window;
    Tally tally;
    bool opened = false;
    for (auto issued = began; issued < began + whole; issued = Clock::now()) {
        if (!opened && issued >= began + warmup) {
            window.open();
            opened = true;
        }
        grpc::ClientContext context;
        Item item;
        const auto reader = stub->Hold(&context, request);
        const bool answered = reader->Read(&item);
        const auto status = reader->Finish();
        if (answered || status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) {
            ++tally.errors;
        } else if (window.recording()) {
            ++tally.requests;
            tally.latency.record(Clock::now() - issued);
        }
    }
    window.close();
    tally.errors += options.concurrency - held.open();
    leave(window, options, tally);
}

/// A channel that failed to connect backs off, so each attempt takes a new one.
int run_first(const Options& options) {
    announce_waiting();
    const auto request = request_of(options);
    const auto limit = Clock::now() + opening_limit;
    while (Clock::now() < limit) {
        const auto stub = connect(options.port);
        grpc::ClientContext context;
        Item reply;
        if (stub->Echo(&context, request, &reply).ok()) {
            report_first("grpc", Clock::now());
            return 0;
        }
        std::this_thread::sleep_for(std::chrono::microseconds{100});
    }
    std::fputs("error: no answer\n", stderr);
    return 1;
}

}  // namespace

int run_other(const Options& options) {
    if (options.mode == Mode::idle) run_idle(options);
    if (options.mode == Mode::over_limit) run_over_limit(options);
    return run_first(options);
}

}  // namespace bench::grpc_peer
