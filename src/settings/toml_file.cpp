// The only source that includes toml++.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "settings/given.hpp"

namespace stator::settings {

namespace {

class Collector {
public:
    explicit Collector(const std::string& path) : path_{path} {}

    void table(const std::string& prefix, const toml::table& table) {
        for (const auto& [key, node] : table) {
            const auto name =
                prefix.empty() ? std::string{key.str()} : fmt::format("{}.{}", prefix, key.str());
            const auto* inner = node.as_table();
            if (inner != nullptr && !inner->empty()) {
                this->table(name, *inner);
            } else {
                add(name, node, key.source().begin.line);
            }
        }
    }

    std::vector<Given> take() { return std::move(found_); }

private:
    void add(const std::string& name, const toml::node& node, std::size_t line) {
        Given given{
            .name = name,
            .form = Form::other,
            .text = {},
            .items = {},
            .source = fmt::format("{}:{}", path_, line)
        };
        if (const auto* text = node.as_string()) {
            given.form = Form::text;
            given.text = text->get();
        } else if (const auto* integer = node.as_integer()) {
            given.form = Form::integer;
            given.text = fmt::format("{}", integer->get());
        } else if (const auto* fraction = node.as_floating_point()) {
            given.form = Form::fraction;
            given.text = fmt::format("{}", fraction->get());
        } else if (const auto* boolean = node.as_boolean()) {
            given.form = Form::boolean;
            given.text = boolean->get() ? "true" : "false";
        } else if (const auto* list = node.as_array()) {
            add_items(given, *list);
        }
        found_.push_back(std::move(given));
    }

    static void add_items(Given& given, const toml::array& list) {
        for (const auto& item : list) {
            const auto* text = item.as_string();
            if (text == nullptr) return;
            given.items.push_back(text->get());
        }
        given.form = Form::list;
    }

    const std::string& path_;
    std::vector<Given> found_;
};

std::unexpected<Error> bad_file(std::string message) {
    return fail(ErrorCode::invalid_request, "settings.file", std::move(message));
}

}  // namespace

Result<std::vector<Given>> read_toml(const std::string& path) {
    std::error_code code;
    if (!std::filesystem::is_regular_file(path, code)) {
        const auto why = code ? code.message() : std::string{"it is no file"};
        return bad_file(fmt::format("cannot read {}: {}", path, why));
    }
    std::ifstream stream{path, std::ios::binary};
    if (!stream)
        return bad_file(
            fmt::format("cannot read {}: {}", path, std::generic_category().message(errno))
        );
    const std::string text{std::istreambuf_iterator<char>{stream}, {}};
    try {
        const auto table = toml::parse(text);
        Collector collector{path};
        collector.table({}, table);
        return collector.take();
    } catch (const toml::parse_error& error) {
        const auto& at = error.source().begin;
        return bad_file(fmt::format("{}:{}:{}: {}", path, at.line, at.column, error.description()));
    }
}

}  // namespace stator::settings
