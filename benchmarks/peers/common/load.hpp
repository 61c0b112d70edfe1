// What every RPC peer shares: the command line, the measured window, latency histograms and the
// result line. The protocol between a peer and run.py is described in benchmarks/README.md. Of
// stator it uses one header that stands alone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/latency_histogram.hpp"

namespace bench {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using std::chrono::nanoseconds;

enum class Mode {
    unary,
    bulk,  ///< a large request, a small answer
    stream,
    paced,
    idle,        ///< streams that have sent one item and then nothing
    over_limit,  ///< requests that must be refused, while held streams use up the limit
    first,       ///< the first answer of a server that starts only now
    failover,    ///< unary calls while run.py kills workers: failures are counted by kind
};

/// What a bulk request is answered with.
inline constexpr std::uint32_t bulk_reply_size = 64;

std::string_view to_string(Mode mode);

/// The options of a client. The defaults are a short run of 64-byte calls.
struct Options {
    std::uint16_t port = 0;
    Mode mode = Mode::unary;
    std::uint32_t concurrency = 1;
    double seconds = 2;
    double warmup = 0.4;
    std::uint32_t items = 100;
    std::uint32_t size = 64;
    std::uint32_t pace_us = 0;
    /// Paced only: the streams start evenly over one pace instead of all at once.
    bool spread = false;
    /// Ours only: calls go by Dynamo's plane.
    bool dynamo_plane = false;

    /// Ends the process with status 2 and a named error when the command line is not understood.
    static Options parse(int argc, const char* const* argv);

    /// Whether an item is what the run is about, and not a request.
    bool counts_items() const { return mode == Mode::stream || mode == Mode::paced; }
    std::uint32_t reply_size() const { return mode == Mode::bulk ? bulk_reply_size : size; }
    nanoseconds pace() const { return std::chrono::microseconds{pace_us}; }
    /// When item `index` (from 0) of a call that was issued at `issued` should reach the client:
    /// the server sends it `index + 1` paces after its handler began, and an ideal network takes no
    /// time.
    TimePoint due(TimePoint issued, std::uint32_t index) const {
        return issued + pace() * (index + 1);
    }
    /// How long after the first stream number `slot` starts.
    nanoseconds start_delay(std::uint32_t slot) const;
};

/// The same as in `stator bench`.
using Histogram = stator::LatencyHistogram;

/// The options of a server.
struct ServeOptions {
    std::uint16_t port = 0;   ///< 0: any free one
    std::uint32_t limit = 0;  ///< of held streams at a time, more are refused; 0: none
    bool unbuffered = false;  ///< of the gRPC peer

    static ServeOptions parse(int argc, const char* const* argv);
};

/// What one thread of a client counted.
struct Tally {
    Histogram latency;
    Histogram added_delay;
    std::uint64_t requests = 0;
    std::uint64_t items = 0;
    std::uint64_t errors = 0;
    std::uint64_t failed_unaccepted = 0;  ///< of mode failover: before the answer began
    std::uint64_t failed_accepted = 0;    ///< likewise: later

    void merge(const Tally& other);
};

/// The measured window of a client: open() after the warm-up, close() at the end; both tell run.py,
/// which then reads the server's CPU time. `recording` and `stopped` may be asked from any thread.
class Window {
public:
    void open();
    void close();

    bool recording() const { return phase_.load(std::memory_order_relaxed) == Phase::open; }
    bool stopped() const { return phase_.load(std::memory_order_relaxed) == Phase::closed; }

    /// Prints the result line of the run.
    void report(std::string_view peer, const Options& options, const Tally& tally) const;

private:
    enum class Phase { warming, open, closed };

    std::atomic<Phase> phase_{Phase::warming};
    TimePoint opened_;
    nanoseconds cpu_at_open_{0};
    nanoseconds elapsed_{0};
    nanoseconds cpu_{0};
};

/// Of mode `first`: prints `waiting`, upon which run.py starts the server.
void announce_waiting();
/// Of mode `first`: prints when the first answer came, on the clock that all processes share.
void report_first(std::string_view peer, TimePoint answered);

/// User and system time of this process.
nanoseconds process_cpu();

/// Prints `listening <port>`, which is what run.py waits for.
void announce(int port);

}  // namespace bench
