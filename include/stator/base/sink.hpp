// Where lower layers count and report, without knowing who collects.
#pragma once

#include <cstdint>
#include <source_location>
#include <string_view>

namespace stator::inline base {

enum class Severity : std::uint8_t { trace, debug, info, warn, error };

/// Receives counts and one-line reports of the layers below `observe`. `observe` installs the real
/// one at start; before that, reports of `warn` and above go to stderr and counts are dropped.
/// Thread-safe; never throws; must not block.
class Sink {
public:
    virtual ~Sink() = default;
    /// `where` is the caller's place in the source.
    virtual void report(
        Severity severity,
        std::string_view target,
        std::string_view message,
        std::source_location where = std::source_location::current()
    ) noexcept = 0;
    /// Adds to the counter `name` (a literal such as "runtime_stalls_total").
    virtual void count(std::string_view name, std::uint64_t by) noexcept = 0;
    /// Sets the gauge `name`.
    virtual void gauge(std::string_view name, double value) noexcept = 0;
};

/// The process's sink; never null.
Sink& sink() noexcept;
/// Installs `replacement` (null: the default again). It must outlive every use.
void set_sink(Sink* replacement) noexcept;

}  // namespace stator::inline base
