// Where views write, and what the surroundings allow (contract in view.h).
#include "runtime/base/error.h"
#include "runtime/base/redact.h"
#include "runtime/base/text.h"
#include "runtime/base/time.h"
#include "runtime/view/view.h"

#include <array>
#include <cstdlib>
#include <fstream>
#include <sys/ioctl.h>
#include <unistd.h>

namespace runbook::view {
namespace {

class FileOutput : public Output {
  public:
    explicit FileOutput(std::FILE* file) : file_(file) {}
    void write(std::string_view text) override {
        std::fwrite(text.data(), 1, text.size(), file_);
        std::fflush(file_);
    }

  private:
    std::FILE* file_;
};

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
        if (const std::string value = text::lower(variable(name)); !value.empty())
            return value.find("utf-8") != std::string::npos ||
                   value.find("utf8") != std::string::npos;
    return false;
}

int columns_of(int handle) {
    const int wanted = std::atoi(variable("COLUMNS").c_str());
    if (wanted > 0)
        return wanted;
    winsize size{};
    return ioctl(handle, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string line_of(const std::string& path, int line) {
    std::ifstream file(path);
    std::string text;
    for (int i = 0; i < line; ++i)
        if (!std::getline(file, text))
            return {};
    return text;
}

} // namespace

std::unique_ptr<Output> file_output(std::FILE* file) {
    return std::make_unique<FileOutput>(file);
}

Settings settings_for(std::FILE* file) {
    Settings out;
    const int handle = fileno(file);
    const std::string terminal = variable("TERM");
    const bool capable = isatty(handle) && !terminal.empty() && terminal != "dumb";
    out.live = capable;
    out.colour = capable && variable("NO_COLOR").empty();
    out.unicode = locale_is_utf8();
    out.home = variable("HOME");
    out.columns = [handle] { return columns_of(handle); };
    out.now = time::now_micros;
    out.source = line_of;
    return out;
}

std::unique_ptr<EventSink> make_view(const std::string& name, Output& output, Settings settings) {
    if (!settings.now)
        settings.now = time::now_micros;
    if (!settings.source)
        settings.source = line_of;
    if (name == "tty")
        return terminal_view(output, std::move(settings));
    if (name == "plain")
        return plain_view(output, std::move(settings));
    if (name == "json")
        return json_view(output, std::move(settings));
    const std::vector<std::string> names = {"tty", "plain", "json"};
    throw Error("usage",
                "--output: unknown form '" + redact(name) + "'" + text::did_you_mean(name, names),
                "use tty, plain or json");
}

} // namespace runbook::view
