#include "tools/demo/fleet.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include <fmt/format.h>

namespace stator::demo {

Fleet::Fleet(Loop& loop, std::filesystem::path folder, std::string corpus)
    : loop_{loop}, folder_{std::move(folder)}, corpus_{std::move(corpus)} {
    std::ranges::generate(ids_, &InstanceId::random);
}

std::filesystem::path Fleet::log_of(std::size_t number) const {
    return folder_ / fmt::format("worker-{}.log", number);
}

void Fleet::start(std::size_t number) {
    ChildProcess::Options options;
    options.arguments = {
        "/proc/self/exe",
        "worker",
        "--instance",
        id(number).to_string(),
        "--parent",
        fmt::format("{}", ::getpid())
    };
    if (!corpus_.empty()) options.arguments.insert(options.arguments.end(), {"--corpus", corpus_});
    options.environment = {{"DYN_LOG", "info"}};
    options.output = log_of(number);
    processes_[number - 1] = std::make_unique<ChildProcess>(loop_, options);
}

std::size_t Fleet::number_of(InstanceId id) const noexcept {
    const auto found = std::ranges::find(ids_, id);
    return found == ids_.end() ? 0 : static_cast<std::size_t>(found - ids_.begin()) + 1;
}

std::vector<std::string> Fleet::last_lines(std::size_t number, std::size_t count) const {
    std::ifstream log{log_of(number)};
    std::vector<std::string> lines;
    for (std::string line; std::getline(log, line);) lines.push_back(line);
    if (lines.size() > count)
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    return lines;
}

}  // namespace stator::demo
