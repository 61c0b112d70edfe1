// Loads: what is reported about the load of instances, and from when on they count as busy.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/discovery/instance_set.hpp"

namespace stator::inline component {

class LoadBook;

/// The right to report one field: it has one owner at a time. Giving it up takes what it reported
/// back. Thread-safe.
class LoadSource {
public:
    LoadSource() noexcept = default;
    LoadSource(LoadSource&& other) noexcept = default;
    LoadSource& operator=(LoadSource&& other) noexcept;
    ~LoadSource();

    /// `value` holds for `valid_for`; after that the instance has none, and is not busy for it.
    void report(InstanceId instance, double value, Duration valid_for) const;

private:
    friend class Loads;
    LoadSource(std::shared_ptr<LoadBook> book, std::string field) noexcept;
    void release() noexcept;
    std::shared_ptr<LoadBook> book_;
    std::string field_;
};

/// What is known of one instance here.
struct InstanceStatus {
    InstanceId id;
    discovery::Standing standing = discovery::Standing::ready;
    std::uint32_t outstanding = 0;  ///< calls of this process
    Duration latency{};             ///< to the first item; zero: not known
    std::string busy;               ///< why it gets no calls, or only if all others are full
};

/// Of one endpoint; all its clients and routers in a process share it. A cheap handle; thread-safe.
///
/// An instance with a reported value above its field's threshold is busy: routers pass it over, and
/// when all are, calls fail with `overloaded`. One that refused a call for want of room is passed
/// over for a moment, while there are others.
class Loads {
public:
    /// Errors: `already_exists` "component.load_field_owned", naming the owner.
    Result<LoadSource> claim(std::string field, std::string owner) const;
    void set_threshold(std::string field, double limit) const;
    void clear_threshold(const std::string& field) const;
    /// Of the instances that were registered when this handle was made.
    std::vector<InstanceStatus> status() const;

private:
    friend class Client;
    explicit Loads(
        std::shared_ptr<LoadBook> book, std::shared_ptr<const discovery::InstanceSet> set
    )
        : book_{std::move(book)}, set_{std::move(set)} {}
    std::shared_ptr<LoadBook> book_;
    std::shared_ptr<const discovery::InstanceSet> set_;
};

}  // namespace stator::inline component
