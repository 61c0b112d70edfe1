#include "transport/mux_ledger.hpp"

#include <utility>

namespace stator::transport::mux {
namespace {

/// Most that one CREDIT frame gives; far above any sensible window.
constexpr std::int64_t most_grant = std::int64_t{1} << 31;
constexpr std::int64_t worth_a_frame = 8192;
/// What every connection gets, however little the process has left.
constexpr std::uint64_t least_connection_window = 256U << 10U;
constexpr std::uint64_t worth_a_report = 64U << 10U;
/// Of what the process has left, one connection takes no more than this part at a time.
constexpr std::uint64_t share = 16;

}  // namespace

Ledger::~Ledger() {
    if (!process_) return;
    process_->windows_changed(reported_, 0);
    process_->release(reserved_);
}

std::uint64_t Ledger::exposure() const noexcept {
    return held_ + static_cast<std::uint64_t>(std::max<std::int64_t>(balance_, 0));
}

void Ledger::adapt() noexcept {
    const auto room = process_->room();
    window_ =
        std::clamp(room / share, std::min(least_connection_window, most_window_), most_window_);
    memory_limit_ = std::clamp(held_ + room / share, window_, most_memory_);
}

std::uint64_t Ledger::open_window() noexcept {
    if (process_) {
        adapt();
        balance_ = static_cast<std::int64_t>(window_);
        process_->windows_changed(std::exchange(reported_, window_), window_);
    }
    return window_;
}

void Ledger::settle() noexcept {
    if (!process_) return;
    const auto now = exposure();
    if (std::max(now, reported_) - std::min(now, reported_) < worth_a_report) return;
    process_->windows_changed(std::exchange(reported_, now), now);
    adapt();
}

void Ledger::unreserve(std::uint64_t size) noexcept {
    reserved_ -= size;
    if (process_) process_->release(size);
}

void Ledger::charge(StreamBook& book, std::uint64_t charge, bool incomplete) noexcept {
    balance_ -= static_cast<std::int64_t>(charge);
    book.balance -= static_cast<std::int64_t>(charge);
    book.held += charge;
    if (book.announced > 0) {
        missing_ -= charge;
    } else {
        held_ += charge;
    }
    if (incomplete) {
        book.assembled += charge;
    } else {
        book.assembled = 0;
        book.announced = 0;
    }
}

bool Ledger::reserve(StreamBook& book, std::uint64_t total) noexcept {
    if (reserved_ + total > large_budget_) return false;
    waits_for_others_ = process_ && !process_->reserve(total);
    if (waits_for_others_) return false;
    book.announced = total;
    book.reserved += total;
    reserved_ += total;
    missing_ += total - book.assembled;
    held_ -= book.assembled;
    return true;
}

void Ledger::taken(StreamBook& book, std::uint64_t charge) noexcept {
    // What is still incomplete cannot have been taken.
    const auto complete = book.held - book.assembled;
    charge = std::min(charge, complete);
    book.held -= charge;
    // Of one stream, plain memory is freed before what was reserved.
    const auto reserved = book.reserved - book.announced;
    const auto freed = reserved - std::min(reserved, complete - charge);
    book.reserved -= freed;
    unreserve(freed);
    held_ -= charge - freed;
}

void Ledger::drop_incomplete(StreamBook& book) noexcept {
    book.held -= book.assembled;
    if (book.announced > 0) {
        missing_ -= book.announced - book.assembled;
        unreserve(book.announced);
        book.reserved -= book.announced;
    } else {
        held_ -= book.assembled;
    }
    book.assembled = 0;
    book.announced = 0;
}

void Ledger::forget(StreamBook& book) noexcept {
    drop_incomplete(book);
    unreserve(book.reserved);
    held_ -= book.held - book.reserved;
    book = StreamBook{};
}

std::uint32_t Ledger::stream_due(const StreamBook& book) const noexcept {
    const std::int64_t target = stream_target();
    auto room = target - book.balance - static_cast<std::int64_t>(book.held);
    // Small steps, so that a producer that waits for its consumer sends no bursts into the others'
    // way; not so small that the frames count.
    if (room < std::clamp(target / 8, worth_a_frame, std::max(target / 2, worth_a_frame))) room = 0;
    if (book.announced > 0) {
        const auto missing = static_cast<std::int64_t>(book.announced - book.assembled);
        room = std::max(room, missing - book.balance);
    }
    return static_cast<std::uint32_t>(std::clamp(room, std::int64_t{0}, most_grant));
}

std::uint32_t Ledger::connection_due() const noexcept {
    const auto floor = std::min<std::int64_t>(
        static_cast<std::int64_t>(window_ / 4),
        static_cast<std::int64_t>(memory_limit_) - static_cast<std::int64_t>(held_)
    );
    const auto free = static_cast<std::int64_t>(window_) - static_cast<std::int64_t>(held_);
    const auto missing = static_cast<std::int64_t>(missing_);
    // What was set aside comes on top: it must not pay for others that hold more than they should,
    // as they do when the limit has sunk since they were given credit.
    const auto target = std::max({free, floor, std::int64_t{0}}) + missing;
    const auto room = target - balance_;
    const bool half = balance_ <= target / 2 && room >= worth_a_frame;
    const bool starving = missing > 0 && balance_ < missing && room > 0;
    return half || starving ? static_cast<std::uint32_t>(std::min(room, most_grant)) : 0;
}

}  // namespace stator::transport::mux
