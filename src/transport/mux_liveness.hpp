// Whether the other side still answers, as values of time: section 6 of docs/protocol/mux.md.
#pragma once

#include <cstdint>

#include "stator/transport/mux_config.hpp"

namespace stator::transport::mux {

/// Watches the silence of the peer.
class Liveness {
public:
    enum class Step : std::uint8_t { nothing, ping, suspect, lost };

    Liveness(const MuxConfig& config, TimePoint now) noexcept
        : ping_after_{config.ping_after},
          suspect_after_{config.suspect_after},
          lost_after_{config.lost_after},
          silent_since_{now} {}

    /// Something arrived. True if the peer was suspect until now.
    bool heard(TimePoint now) noexcept {
        silent_since_ = now;
        pinged_ = false;
        const bool was = suspect_;
        suspect_ = false;
        return was;
    }
    void watch(bool wanted, TimePoint now) noexcept {
        if (wanted && !watching_) {
            silent_since_ = now;
            pinged_ = false;
        }
        watching_ = wanted;
    }
    bool suspect() const noexcept { return suspect_; }
    TimePoint due() const noexcept {
        if (!watching_) return TimePoint::max();
        if (!pinged_) return silent_since_ + ping_after_;
        return silent_since_ + (suspect_ ? lost_after_ : suspect_after_);
    }
    /// What is to be done now; call again until it says nothing.
    Step step(TimePoint now) noexcept {
        const auto when = due();
        if (now < when) return Step::nothing;
        // Late by much: this process was stopped, and what the peer sent may be waiting unread.
        if (now - when > slack && pinged_) silent_since_ = now - ping_after_;
        if (!pinged_) {
            if (now - when > slack) silent_since_ = now - ping_after_;
            pinged_ = true;
            return Step::ping;
        }
        if (now < due()) return Step::nothing;
        if (suspect_) return Step::lost;
        suspect_ = true;
        return Step::suspect;
    }

private:
    static constexpr Duration slack = std::chrono::seconds{1};
    Duration ping_after_;
    Duration suspect_after_;
    Duration lost_after_;
    TimePoint silent_since_;
    bool watching_ = false;
    bool pinged_ = false;
    bool suspect_ = false;
};

/// Watches whether output moves.
class WriteStall {
public:
    explicit WriteStall(Duration limit) noexcept : limit_{limit} {}

    TimePoint due(bool has_output, TimePoint last_known) const noexcept {
        if (!has_output) return TimePoint::max();
        return (armed_ ? since_ : last_known) + limit_;
    }
    /// True if nothing of the output was written for the whole limit.
    bool stalled(bool has_output, std::uint64_t total_written, TimePoint now) noexcept {
        if (has_output && armed_ && written_ == total_written) return now - since_ >= limit_;
        armed_ = has_output;
        written_ = total_written;
        since_ = now;
        return false;
    }

private:
    Duration limit_;
    bool armed_ = false;
    std::uint64_t written_ = 0;
    TimePoint since_{};
};

}  // namespace stator::transport::mux
