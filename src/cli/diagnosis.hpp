// What `stator doctor` finds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/discovery/instance.hpp"

namespace stator::cli {

enum class Verdict : std::uint8_t { good, warning, bad };

struct Finding {
    Verdict verdict = Verdict::good;
    std::string check;    ///< "store", "record", "address", "mux", "dynamo"
    std::string subject;  ///< what was checked: an endpoint, an instance, an address
    std::string message;
};

/// A registered record as it can be judged without the network.
struct Examined {
    std::vector<Finding> findings;
    std::optional<discovery::Instance> instance;  ///< nothing: clients do not see it
};

Examined examine_record(std::string_view key, std::string_view record);

/// "nobody serves a.b.c", and which of `known` looks most like it.
Finding nobody_serves(const EndpointId& endpoint, const std::vector<EndpointId>& known);

bool any_bad(const std::vector<Finding>& findings) noexcept;
std::string as_table(const std::vector<Finding>& findings);
/// One JSON array of {verdict, check, subject, message}.
std::string as_json(const std::vector<Finding>& findings);

}  // namespace stator::cli
