// Callbacks run on gRPC's own threads: each thread counts in a tally of its own, merged after the
// last call.
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "grpc/peer.hpp"
#include "load.grpc.pb.h"

namespace bench::grpc_peer {
namespace {

constexpr auto drain_limit = std::chrono::seconds{5};

// What all calls share. Outlives them: run_client waits until none is in flight.
class Run {
public:
    explicit Run(const Options& chosen) : options{chosen} {
        stub = connect(options.port);
        request.set_items(options.items);
        request.set_size(options.size);
        request.set_pace_us(options.pace_us);
        if (!options.counts_items()) request.set_payload(std::string(options.size, 'x'));
    }

    Tally& tally() {
        thread_local Tally* mine = nullptr;
        if (mine == nullptr) {
            const std::scoped_lock lock{mutex_};
            mine = tallies_.emplace_back(std::make_unique<Tally>()).get();
        }
        return *mine;
    }
    Tally total() const {
        Tally sum;
        for (const auto& tally : tallies_) sum.merge(*tally);
        return sum;
    }
    /// Counts a finished call.
    void finished(const grpc::Status& status, bool complete, TimePoint issued) {
        Tally& counts = tally();
        if (!status.ok() || !complete) {
            ++counts.errors;
        } else if (window.recording()) {
            ++counts.requests;
            counts.latency.record(Clock::now() - issued);
        }
    }

    const Options options;
    std::unique_ptr<Load::Stub> stub;
    Request request;
    Window window;
    std::atomic<std::uint32_t> in_flight{0};

private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Tally>> tallies_;
};

// One of the concurrent unary calls: its answer starts the next one.
class UnarySlot {
public:
    explicit UnarySlot(Run& run) : run_{run} {}

    void start() {
        context_.emplace();
        issued_ = Clock::now();
        const auto ended = [this](const grpc::Status& status) {
            run_.finished(status, reply_.payload().size() == run_.options.reply_size(), issued_);
            if (run_.window.stopped()) {
                --run_.in_flight;
            } else {
                start();
            }
        };
        auto* stub = run_.stub->async();
        if (run_.options.mode == Mode::bulk) {
            stub->Take(&*context_, &run_.request, &reply_, ended);
        } else {
            stub->Echo(&*context_, &run_.request, &reply_, ended);
        }
    }

private:
    Run& run_;
    std::optional<grpc::ClientContext> context_;
    Item reply_;
    TimePoint issued_;
};

// One stream; deletes itself when done and starts its successor.
class StreamCall final : public grpc::ClientReadReactor<Item> {
public:
    explicit StreamCall(Run& run) : run_{run}, issued_{Clock::now()} {
        run_.stub->async()->Generate(&context_, &run_.request, this);
        StartRead(&item_);
        StartCall();
    }

    void OnReadDone(bool ok) override {
        if (!ok) return;
        if (item_.payload().size() != run_.options.size) ++run_.tally().errors;
        if (run_.window.recording()) {
            Tally& counts = run_.tally();
            ++counts.items;
            if (run_.options.mode == Mode::paced) {
                counts.added_delay.record(Clock::now() - run_.options.due(issued_, received_));
            }
        }
        ++received_;
        StartRead(&item_);
    }

    void OnDone(const grpc::Status& status) override {
        run_.finished(status, received_ == run_.options.items, issued_);
        if (run_.window.stopped()) {
            --run_.in_flight;
        } else {
            new StreamCall{run_};
        }
        delete this;
    }

private:
    Run& run_;
    grpc::ClientContext context_;
    Item item_;
    TimePoint issued_;
    std::uint32_t received_ = 0;
};

void sleep_seconds(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
}

void wait_for_last_call(Run& run) {
    const auto limit = Clock::now() + drain_limit;
    while (run.in_flight != 0 && Clock::now() < limit) sleep_seconds(0.001);
    run.tally().errors += run.in_flight;
}

}  // namespace

std::unique_ptr<Load::Stub> connect(std::uint16_t port) {
    const auto target = "127.0.0.1:" + std::to_string(port);
    grpc::ChannelArguments settings;
    for (const char* name : unneeded) settings.SetInt(name, 0);
    settings.SetInt(GRPC_ARG_MINIMAL_STACK, 1);
    settings.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return Load::NewStub(
        grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), settings)
    );
}

int run_client(const Options& options) {
    Run run{options};
    std::vector<std::unique_ptr<UnarySlot>> slots;
    const auto began = Clock::now();
    run.in_flight = options.concurrency;
    for (std::uint32_t i = 0; i < options.concurrency; ++i) {
        std::this_thread::sleep_until(began + options.start_delay(i));
        if (!options.counts_items()) {
            slots.emplace_back(std::make_unique<UnarySlot>(run))->start();
        } else {
            new StreamCall{run};
        }
    }
    std::this_thread::sleep_until(began + std::chrono::duration<double>{options.warmup});
    run.window.open();
    sleep_seconds(options.seconds);
    run.window.close();
    wait_for_last_call(run);
    run.window.report("grpc", options, run.total());
    // Calls that outlived the limit still point into `run`.
    std::fflush(stdout);
    std::_Exit(run.in_flight == 0 ? 0 : 1);
}

}  // namespace bench::grpc_peer
