#include "component/load_book.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace stator::inline component {

std::vector<std::shared_ptr<InstanceLoad>> LoadBook::loads_of(
    const std::vector<std::shared_ptr<const discovery::Instance>>& instances
) {
    const auto now = Clock::current().now();
    std::vector<std::shared_ptr<InstanceLoad>> found;
    found.reserve(instances.size());
    const std::lock_guard guard{table_lock_};
    table_.tidy(now);
    for (const auto& instance : instances) {
        auto& load = loads_[instance->id];
        if (!load) {
            load = std::make_shared<InstanceLoad>();
            mark(instance->id, now);
        }
        found.push_back(load);
    }
    // What only this knows is of instances that have left, and of no call.
    std::erase_if(loads_, [](const auto& row) { return row.second.use_count() == 1; });
    return found;
}

void LoadBook::marked_until(TimePoint until) noexcept {
    auto before = marked_until_.load(std::memory_order_relaxed);
    const auto wanted = until.time_since_epoch().count();
    while (before < wanted &&
           !marked_until_.compare_exchange_weak(before, wanted, std::memory_order_acq_rel)) {
    }
}

void LoadBook::mark_full(InstanceLoad& load, TimePoint until) {
    {
        const std::lock_guard guard{lock_};
        load.full_until = std::max(load.full_until, until);
    }
    marked_until(until);
}

void LoadBook::observe(InstanceLoad& load, Duration latency, TimePoint now, Duration decay) {
    const std::lock_guard guard{lock_};
    load.latency.observe(latency, now, decay);
}

/// With table_lock_ held.
void LoadBook::mark(InstanceId instance, TimePoint now) {
    const auto found = loads_.find(instance);
    if (found == loads_.end()) return;
    const auto busy = table_.busy(instance, now);
    {
        const std::lock_guard guard{lock_};
        found->second->busy_until = busy ? busy->until : TimePoint{};
    }
    if (busy) marked_until(busy->until);
}

void LoadBook::mark_all() {
    const auto now = Clock::current().now();
    for (const auto& row : loads_) mark(row.first, now);
}

Result<void> LoadBook::claim(const std::string& field, std::string owner) {
    const std::lock_guard guard{table_lock_};
    return table_.claim(field, std::move(owner));
}

void LoadBook::release(const std::string& field) {
    const std::lock_guard guard{table_lock_};
    table_.release(field);
    mark_all();
}

void LoadBook::report(
    const std::string& field, InstanceId instance, double value, Duration valid_for
) {
    const auto now = Clock::current().now();
    const std::lock_guard guard{table_lock_};
    table_.report(field, instance, value, now + valid_for);
    mark(instance, now);
}

void LoadBook::set_threshold(const std::string& field, std::optional<double> limit) {
    const std::lock_guard guard{table_lock_};
    table_.set_threshold(field, limit);
    mark_all();
}

std::string LoadBook::why_busy(InstanceId instance, TimePoint now) const {
    const std::lock_guard guard{table_lock_};
    if (const auto busy = table_.busy(instance, now)) {
        return fmt::format(
            "{} is {:g}, above {:g} (reported by {})",
            *busy->field,
            busy->value,
            busy->limit,
            *busy->owner
        );
    }
    const auto found = loads_.find(instance);
    if (found == loads_.end()) return {};
    const std::lock_guard own{lock_};
    return found->second->full_until > now ? "it has just had no room" : "";
}

InstanceStatus LoadBook::status(InstanceId instance, TimePoint now) const {
    InstanceStatus status{.id = instance, .busy = why_busy(instance, now)};
    const std::lock_guard guard{table_lock_};
    const auto found = loads_.find(instance);
    if (found == loads_.end()) return status;
    status.outstanding = found->second->outstanding.load(std::memory_order_relaxed);
    const std::lock_guard own{lock_};
    const auto ns = found->second->latency.value(now, std::chrono::seconds{10});
    status.latency = Duration{static_cast<Duration::rep>(ns)};
    return status;
}

void Reservation::answered(TimePoint now) noexcept {
    if (!timed()) return;
    book_->observe(*load_, now - begun_, now, decay_);
    decay_ = Duration::zero();
}

void Reservation::failed(TimePoint now) noexcept {
    if (!timed()) return;
    book_->observe(*load_, now - begun_ + failure_penalty, now, decay_);
    decay_ = Duration::zero();
}

LoadSource::LoadSource(std::shared_ptr<LoadBook> book, std::string field) noexcept
    : book_{std::move(book)}, field_{std::move(field)} {}

LoadSource& LoadSource::operator=(LoadSource&& other) noexcept {
    if (this == &other) return *this;
    release();
    book_ = std::move(other.book_);
    field_ = std::move(other.field_);
    return *this;
}

LoadSource::~LoadSource() { release(); }

void LoadSource::release() noexcept {
    if (book_) std::exchange(book_, nullptr)->release(field_);
}

void LoadSource::report(InstanceId instance, double value, Duration valid_for) const {
    if (book_) book_->report(field_, instance, value, valid_for);
}

Result<LoadSource> Loads::claim(std::string field, std::string owner) const {
    if (auto claimed = book_->claim(field, std::move(owner)); !claimed)
        return std::unexpected{std::move(claimed.error())};
    return LoadSource{book_, std::move(field)};
}

void Loads::set_threshold(std::string field, double limit) const {
    book_->set_threshold(field, limit);
}

void Loads::clear_threshold(const std::string& field) const {
    book_->set_threshold(field, std::nullopt);
}

std::vector<InstanceStatus> Loads::status() const {
    const auto now = Clock::current().now();
    std::vector<InstanceStatus> all;
    all.reserve(set_->members.size());
    for (const auto& member : set_->members) {
        all.push_back(book_->status(member.instance->id, now));
        all.back().standing = member.standing;
    }
    return all;
}

}  // namespace stator::inline component
