// The streams of a session: slots with stable addresses, found by id without allocation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/transport/mux_handler.hpp"
#include "stator/transport/mux_head.hpp"
#include "transport/mux_ledger.hpp"

namespace stator::transport::mux {

/// One call, from its opening until its release.
struct Stream {
    StreamId id = 0;
    CallShape shape = CallShape::unary;
    bool over = false;              ///< section 3.11: nothing more is sent or reported
    bool accepted = false;          ///< a sign of acceptance was sent or seen
    bool accept_due = false;        ///< ACCEPT leaves with the next turn unless implied before
    bool sent_end = false;          ///< our half takes no further message
    bool sent_message = false;      ///< a message was taken by send
    bool received_end = false;      ///< the peer's half is closed
    bool received_message = false;  ///< a message of the peer began
    bool stop_seen = false;
    bool released = false;          ///< the owner is gone; what it left to send still goes out
    bool credit_listed = false;     ///< in the list of streams that may be due credit
    bool queued = false;            ///< in the queue of streams that may send
    bool waits_for_budget = false;  ///< in the queue for a reservation
    bool out_pending = false;       ///< `out` waits for credit or room
    bool out_begun = false;         ///< its first fragment has left
    bool out_end = false;           ///< our half ends with it

    void* context = nullptr;
    StreamBook in;
    std::int64_t credit = 0;  ///< what we may still send

    Bytes out;  ///< the message being sent
    std::size_t out_sent = 0;
    std::unique_ptr<Error> out_error;  ///< to be sent after `out`

    Buffer* assembly = nullptr;  ///< where the peer's incomplete message is put together
    std::uint32_t assembly_size = 0;
    std::uint32_t assembly_filled = 0;

    void drop_output() noexcept {
        out = Bytes{};
        out_pending = false;
        out_error.reset();
    }
    void drop_assembly() noexcept {
        if (assembly != nullptr) assembly->release();
        assembly = nullptr;
        assembly_size = 0;
        assembly_filled = 0;
    }
};

/// Open addressing with linear probing. The hash is seeded: the peer chooses the ids.
class Streams {
public:
    explicit Streams(std::uint64_t seed)
        : multiplier_{(seed ^ 0x9E37'79B9'7F4A'7C15U) | 1U}, table_(initial_size) {}
    Streams(const Streams&) = delete;
    Streams& operator=(const Streams&) = delete;
    ~Streams() {
        for (auto& entry : table_) {
            if (entry.stream != nullptr) entry.stream->drop_assembly();
        }
    }

    Stream* find(StreamId id) const noexcept {
        for (auto at = home(id);; at = (at + 1) & mask()) {
            if (table_[at].id == id) return table_[at].stream;
            if (table_[at].id == 0) return nullptr;
        }
    }
    /// `id` is not in the table.
    Stream& insert(StreamId id);
    void erase(Stream& stream);
    std::size_t size() const noexcept { return size_; }
    std::vector<StreamId> ids() const;

private:
    struct Entry {
        StreamId id = 0;
        Stream* stream = nullptr;
    };
    static constexpr std::size_t initial_size = 16;
    static constexpr std::size_t slab_size = 64;

    std::size_t mask() const noexcept { return table_.size() - 1; }
    std::size_t home(StreamId id) const noexcept {
        return static_cast<std::size_t>((id * multiplier_) >> 32U) & mask();
    }
    void place(Entry entry) noexcept;
    void grow();

    std::uint64_t multiplier_;
    std::vector<Entry> table_;
    std::size_t size_ = 0;
    std::vector<std::unique_ptr<Stream[]>> slabs_;
    std::vector<Stream*> free_;
};

}  // namespace stator::transport::mux
