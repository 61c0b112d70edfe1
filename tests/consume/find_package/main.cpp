#include <cstdio>
#include <string_view>

#include "stator/base/error.hpp"

int main() {
    const auto error = stator::Error{stator::ErrorCode::not_found, "no such endpoint"}.with_context(
        "calling demo.backend.generate"
    );
    std::puts(error.what());
    return std::string_view{error.what()}.ends_with("not_found: no such endpoint") ? 0 : 1;
}
