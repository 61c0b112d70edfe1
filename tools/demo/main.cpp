// stator_demo: worker processes, a client that streams from them, and what happens when they come
// and go.

#include <stdlib.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/llm/corpus.hpp"
#include "stator/worker/worker.hpp"
#include "tools/demo/child_process.hpp"
#include "tools/demo/private_folder.hpp"
#include "tools/demo/report.hpp"
#include "tools/demo/show.hpp"
#include "tools/demo/worker_role.hpp"

namespace stator::demo {

namespace {

constexpr std::string_view usage =
    "usage: stator_demo [--requests N] [--corpus FILE]\n"
    "\n"
    "Three worker processes serve a small language model; a client streams from them\n"
    "while one is killed, one is drained and one joins. Needs no server of any kind.\n"
    "\n"
    "  --requests N   streams at the same time (default 2000; 100 to 20000)\n"
    "  --corpus FILE  the text that the model learns from (default: licence texts)\n"
    "\n"
    "Exit status: 0 if everything that is promised holds, 1 if not, 2 for usage.\n";

constexpr std::size_t fewest_requests = 100;
constexpr std::size_t most_requests = 20'000;

struct Arguments {
    bool worker = false;
    bool help = false;
    std::size_t requests = 2'000;
    std::optional<std::string> corpus{};
    InstanceId instance{};
    pid_t parent = 0;
};

template <class Number>
Result<Number> number_of(
    std::string_view option, std::string_view text, Number lowest, Number highest
) {
    Number number{};
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure == std::errc{} && end == text.data() + text.size() && number >= lowest &&
        number <= highest) {
        return number;
    }
    return fail(
        ErrorCode::invalid_request,
        fmt::format(
            "{} takes a number from {} to {}, not {}", option, lowest, highest, quoted_text(text)
        )
    );
}

/// Stores the option's value; fails for unknown options and bad values.
Result<void> take(Arguments& arguments, const std::string& option, const std::string& value) {
    if (option == "--corpus") {
        arguments.corpus = value;
        return {};
    }
    if (option == "--requests") {
        const auto number = number_of<std::size_t>(option, value, fewest_requests, most_requests);
        if (!number) return std::unexpected{number.error()};
        arguments.requests = *number;
        return {};
    }
    if (arguments.worker && option == "--instance") {
        const auto id = InstanceId::parse(value);
        if (!id) return std::unexpected{id.error()};
        arguments.instance = *id;
        return {};
    }
    if (arguments.worker && option == "--parent") {
        const auto number = number_of<pid_t>(option, value, 1, std::numeric_limits<pid_t>::max());
        if (!number) return std::unexpected{number.error()};
        arguments.parent = *number;
        return {};
    }
    return fail(
        ErrorCode::invalid_request, fmt::format("unknown argument {}", quoted_text(option))
    );
}

Result<Arguments> parse(const std::vector<std::string>& words) {
    Arguments arguments;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i == 0 && words[i] == "worker") {
            arguments.worker = true;
        } else if (words[i] == "--help" || words[i] == "-h") {
            arguments.help = true;
        } else {
            const auto value = i + 1 < words.size() ? words[i + 1] : std::string{};
            if (auto good = take(arguments, words[i], value); !good)
                return std::unexpected{good.error()};
            ++i;
        }
    }
    if (arguments.worker && (!arguments.instance || arguments.parent == 0)) {
        return fail(ErrorCode::invalid_request, "a worker needs --instance and --parent");
    }
    return arguments;
}

struct Trained {
    std::shared_ptr<const NgramModel> model;
    std::string from;
};

Result<Trained> train(const Arguments& arguments) {
    const auto corpus = arguments.corpus ? llm::read_text(*arguments.corpus) : llm::read_licences();
    if (!corpus) return std::unexpected{corpus.error()};
    auto model = NgramModel::train(corpus->text);
    if (!model) return std::unexpected{model.error()};
    return Trained{
        std::make_shared<const NgramModel>(std::move(*model)),
        fmt::format("{}", fmt::join(corpus->names, ", "))
    };
}

/// What the user has set for other clusters must not reach this one; the workers inherit what is
/// set here.
void make_environment(const std::filesystem::path& folder) {
    std::vector<std::string> foreign;
    for (char** line = environ; *line != nullptr; ++line) {
        const std::string_view text{*line};
        const auto key = text.substr(0, text.find('='));
        const bool ours =
            key.starts_with("DYN_") || key.starts_with("ETCD_") || key.starts_with("NATS_");
        if (ours && key != "DYN_LOG") foreign.emplace_back(key);
    }
    for (const auto& key : foreign) ::unsetenv(key.c_str());
    ::setenv("DYN_CONFIG_ROOT", (folder / "no-settings").c_str(), 1);
    ::setenv("DYN_DISCOVERY_BACKEND", "file", 1);
    ::setenv("DYN_FILE_KV", (folder / "discovery").c_str(), 1);
    // A killed worker is worth a warning, and here it is meant.
    ::setenv("DYN_LOG", "error", 0);
}

int run_demo(const Arguments& arguments) {
    auto terminal = Terminal::standard();
    const auto start = std::chrono::steady_clock::now();
    const auto trained = train(arguments);
    if (!trained) throw trained.error();
    const auto took = std::chrono::steady_clock::now() - start;
    const PrivateFolder folder;
    make_environment(folder.path());

    terminal.line(
        terminal.bold("stator demo: workers that come and go, a client that keeps streaming")
    );
    terminal.line();
    terminal.line(fmt::format(
        "  model    n-grams of 1 to {} words, from {} words in {}",
        NgramModel::context_size + 1,
        grouped(trained->model->trained_pieces()),
        readable(took)
    ));
    terminal.line(fmt::format("           ({})", trained->from));
    ShowOptions options{arguments.requests, folder.path(), arguments.corpus, trained->model};
    return Worker::from_settings().execute([&](Runtime runtime) {
        return run_show(std::move(runtime), std::move(options), &terminal);
    });
}

int run_worker_role(const Arguments& arguments) {
    if (!end_with_parent(arguments.parent)) return 1;
    const auto trained = train(arguments);
    if (!trained) throw trained.error();
    return run_worker(trained->model, arguments.instance);
}

int run(const std::vector<std::string>& words) {
    const auto arguments = parse(words);
    if (!arguments) {
        fmt::print(stderr, "stator_demo: {}\n\n{}", arguments.error().message(), usage);
        return 2;
    }
    if (arguments->help) {
        fmt::print("{}", usage);
        return 0;
    }
    try {
        return arguments->worker ? run_worker_role(*arguments) : run_demo(*arguments);
    } catch (const Error& error) {
        fmt::print(stderr, "stator_demo: {}\n", error.what());
        return 1;
    }
}

}  // namespace

}  // namespace stator::demo

int main(int count, char** arguments) {
    return stator::demo::run({arguments + 1, arguments + count});
}
