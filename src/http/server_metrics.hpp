// What a server counts.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "stator/observe/metrics.hpp"

namespace stator::http {

/// Series of one server, under its name.
class ServerMetrics {
public:
    explicit ServerMetrics(std::string server);

    void answered(unsigned status) const noexcept;
    /// `why` is the detail of the error: "http.malformed", ...
    void refused(std::string_view why) const;

    observe::UpDownCounter connections;
    observe::Counter evicted;      ///< made room for another
    observe::Counter crowded_out;  ///< found no room

private:
    std::string server_;
    std::array<observe::Counter, 5> answers_;  // 1xx to 5xx
};

}  // namespace stator::http
