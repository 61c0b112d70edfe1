// LoadTable: reported loads against their thresholds. Pure: no clock, no lock.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"

namespace stator::inline component {

/// One owner at a time; time goes in as an argument.
class LoadTable {
public:
    Result<void> claim(const std::string& field, std::string owner);
    /// Its values go with it; its threshold stays.
    void release(const std::string& field);
    void report(const std::string& field, InstanceId instance, double value, TimePoint until);
    void set_threshold(const std::string& field, std::optional<double> limit);

    struct Busy {
        const std::string* field;
        const std::string* owner;
        double value;
        double limit;
        TimePoint until;
    };
    /// The field that keeps it busy for longest; nothing if it is not busy.
    std::optional<Busy> busy(InstanceId instance, TimePoint now) const;
    /// Drops what is out of date.
    void tidy(TimePoint now);

private:
    struct Report {
        double value;
        TimePoint until;
    };
    struct Field {
        std::string owner;  // empty: nobody's
        std::optional<double> limit;
        std::unordered_map<InstanceId, Report> reports;
    };
    std::map<std::string, Field> fields_;
};

}  // namespace stator::inline component
