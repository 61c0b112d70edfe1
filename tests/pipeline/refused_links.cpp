// Pipelines whose types do not meet: with one of the macros defined, this must not compile.
#include <string>

#include "stator/pipeline/link.hpp"
#include "stator/pipeline/operators.hpp"

namespace {

using namespace stator;

Stream<int> count_to(Context, int last) {
    for (int i = 1; i <= last; ++i) co_yield i;
}

struct Spelled final : Operator<std::string, std::string, int, int> {
    Stream<std::string> generate(Context context, std::string text, Engine<int, int> next)
        override {
        auto numbers = next.generate(std::move(context), static_cast<int>(text.size()));
        while (auto number = co_await numbers.next()) co_yield std::to_string(*number);
    }
};

auto linked() {
#if defined(STATOR_WRONG_REQUEST)
    return frontend<int, std::string>().link(Spelled{}).link(count_to);
#elif defined(STATOR_WRONG_ANSWER)
    return frontend<std::string, int>().link(Spelled{}).link(count_to);
#elif defined(STATOR_WRONG_ENGINE)
    return frontend<std::string, std::string>().link(count_to);
#elif defined(STATOR_WRONG_STEP)
    return frontend<int, std::string>().link(map([](int n) { return n; })).link(count_to);
#elif defined(STATOR_FILTERED_SINGLE)
    return frontend<int, Task<int>>().link(filter([](int n) { return n > 0; })
    ).link([](Context, int n) -> Task<int> { co_return int{n}; });
#elif defined(STATOR_RETRIED_STREAM)
    return frontend<Stream<int>, int>().link(retry()).link([](Context, Stream<int> items) {
        return items;
    });
#else
    return frontend<std::string, std::string>().link(Spelled{}).link(count_to);
#endif
}

}  // namespace

int main() { return linked() ? 0 : 1; }
