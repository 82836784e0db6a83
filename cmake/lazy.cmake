# runbook_lazy(name MODULE PREFIX prefixes…): a target lazy::<name> that stands for a client library which most runs never
# use. It gives the include paths of PkgConfig::MODULE (whose library is the first one that pkg-config names), and in the place
# of the library one trampoline for each function that the library exports under one of the prefixes; the first call of any
# of them loads the library by the SONAME that it has on this machine (runtime/base/lazy.h).
#
# The library itself is linked, as ever, where that does not work or would hide something: under sanitizers, on processors
# without trampolines below, for a static library, or with -DRUNBOOK_LAZY=OFF.
option(RUNBOOK_LAZY "Load the client libraries (libpq, libmariadb or libmysqlclient, libcurl, libedit) on first use" ON)

function(runbook_lazy name module)
  cmake_parse_arguments(ARG "" "" "PREFIX" ${ARGN})
  set(target PkgConfig::${module})
  list(GET ${module}_LINK_LIBRARIES 0 library)
  add_library(lazy_${name} INTERFACE)
  add_library(lazy::${name} ALIAS lazy_${name})
  if(NOT RUNBOOK_LAZY OR RUNBOOK_SANITIZE OR NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|aarch64)$" OR NOT CMAKE_SYSTEM_NAME STREQUAL "Linux"
      OR NOT CMAKE_SIZEOF_VOID_P EQUAL 8 OR NOT library MATCHES "\\.so")
    target_link_libraries(lazy_${name} INTERFACE ${target})
    return()
  endif()
  # A new version of the library may export other functions: configure again.
  file(REAL_PATH ${library} real)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${real})
  execute_process(COMMAND ${CMAKE_OBJDUMP} -p ${library} OUTPUT_VARIABLE dynamic COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND ${CMAKE_NM} -D --defined-only ${library} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  if(NOT dynamic MATCHES "SONAME +([^ \n]+)")
    message(FATAL_ERROR "${library} has no SONAME (try -DRUNBOOK_LAZY=OFF)")
  endif()
  set(soname ${CMAKE_MATCH_1})
  list(JOIN ARG_PREFIX "|" prefixes)
  string(REGEX MATCHALL "[0-9a-f]+ [TWi] (${prefixes})[A-Za-z0-9_]*" lines "${symbols}")
  list(TRANSFORM lines REPLACE "^[0-9a-f]+ [TWi] " "")
  list(REMOVE_DUPLICATES lines) # a function may be exported in several versions
  list(LENGTH lines count)
  if(count EQUAL 0)
    message(FATAL_ERROR "${library} exports no function ${prefixes}* (try -DRUNBOOK_LAZY=OFF)")
  endif()
  set(body)
  set(index 0)
  foreach(symbol ${lines})
    string(APPEND body "trampoline ${symbol} ${index}\n")
    math(EXPR index "${index} + 1")
  endforeach()
  set(LAZY_SONAME ${soname})
  set(LAZY_COUNT ${count})
  set(LAZY_TRAMPOLINES "${body}")
  set(source ${CMAKE_BINARY_DIR}/lazy/${name}.S)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/lazy.S.in ${source} @ONLY) # leaves an unchanged file untouched
  add_library(lazy_${name}_trampolines STATIC ${source})
  target_link_libraries(lazy_${name}_trampolines PRIVATE rb_base) # holds the loader
  target_link_libraries(lazy_${name} INTERFACE lazy_${name}_trampolines)
  target_include_directories(lazy_${name} SYSTEM INTERFACE $<TARGET_PROPERTY:${target},INTERFACE_INCLUDE_DIRECTORIES>)
  target_compile_definitions(lazy_${name} INTERFACE $<TARGET_PROPERTY:${target},INTERFACE_COMPILE_DEFINITIONS>)
  target_compile_options(lazy_${name} INTERFACE $<TARGET_PROPERTY:${target},INTERFACE_COMPILE_OPTIONS>)
endfunction()
