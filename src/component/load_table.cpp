#include "component/load_table.hpp"

#include <fmt/format.h>

namespace stator::inline component {

Result<void> LoadTable::claim(const std::string& field, std::string owner) {
    auto& claimed = fields_[field];
    if (!claimed.owner.empty()) {
        return fail(
            ErrorCode::already_exists,
            "component.load_field_owned",
            fmt::format("the load field \"{}\" is reported by {}", field, claimed.owner)
        );
    }
    claimed.owner = owner.empty() ? std::string{"an unnamed source"} : std::move(owner);
    return {};
}

void LoadTable::release(const std::string& field) {
    const auto found = fields_.find(field);
    if (found == fields_.end()) return;
    found->second.owner.clear();
    found->second.reports.clear();
    if (!found->second.limit) fields_.erase(found);
}

void LoadTable::report(
    const std::string& field, InstanceId instance, double value, TimePoint until
) {
    const auto found = fields_.find(field);
    if (found != fields_.end()) found->second.reports[instance] = {value, until};
}

void LoadTable::set_threshold(const std::string& field, std::optional<double> limit) {
    fields_[field].limit = limit;
}

std::optional<LoadTable::Busy> LoadTable::busy(InstanceId instance, TimePoint now) const {
    std::optional<Busy> longest;
    for (const auto& [name, field] : fields_) {
        if (!field.limit) continue;
        const auto found = field.reports.find(instance);
        if (found == field.reports.end()) continue;
        const auto& report = found->second;
        // Written so that a value that is no number is no load.
        if (report.until <= now || !(report.value > *field.limit)) continue;
        if (!longest || report.until > longest->until) {
            longest = Busy{&name, &field.owner, report.value, *field.limit, report.until};
        }
    }
    return longest;
}

void LoadTable::tidy(TimePoint now) {
    for (auto& [name, field] : fields_)
        std::erase_if(field.reports, [now](const auto& row) { return row.second.until <= now; });
}

}  // namespace stator::inline component
