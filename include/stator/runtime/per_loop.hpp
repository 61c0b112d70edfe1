// One value for each loop of a runtime.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "stator/runtime/loop.hpp"

namespace stator::inline runtime {

/// Each loop touches only its own value (`current`), so none needs a lock. `at` reaches another
/// loop's, for those whose T is thread-safe itself or who know that the loop is not running.
template <class T>
class PerLoop {
public:
    explicit PerLoop(std::size_t loops) {
        values_.reserve(loops);
        for (std::size_t i = 0; i < loops; ++i) values_.push_back(std::make_unique<T>());
    }
    T& current() noexcept { return *values_[Loop::current()->index()]; }
    T& at(std::size_t index) noexcept { return *values_[index]; }
    const T& at(std::size_t index) const noexcept { return *values_[index]; }
    std::size_t size() const noexcept { return values_.size(); }

private:
    std::vector<std::unique_ptr<T>> values_;
};

}  // namespace stator::inline runtime
