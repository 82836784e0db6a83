# runbook_layer(name folder LINK libraries…): a static library rb_<name> of the .cpp files below the folder
# (main.cpp left out), with the tree's root as its include path.
function(runbook_layer name folder)
  cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(sources)
    add_library(rb_${name} STATIC ${sources})
    target_include_directories(rb_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(rb_${name} PUBLIC ${ARG_LINK} fmt::fmt)
    target_compile_options(rb_${name} PRIVATE ${RUNBOOK_SANITIZE_FLAGS})
    # CLI11 alone takes longer than the rest of its folder, and gains nothing from a sanitizer.
    if(name STREQUAL "cli" AND EXISTS ${CMAKE_SOURCE_DIR}/runtime/cli/arguments.cpp)
      set_source_files_properties(${CMAKE_SOURCE_DIR}/runtime/cli/arguments.cpp PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all;-O0")
    endif()
  else()
    add_library(rb_${name} INTERFACE)
    target_link_libraries(rb_${name} INTERFACE ${ARG_LINK} fmt::fmt)
  endif()
endfunction()

# runbook_embed(target folders…): every .lua file below the folders becomes a C array in the target,
# found at run time through runbook::embedded() (runtime/vm/embedded.h).
function(runbook_embed target)
  set(files)
  foreach(folder ${ARGN})
    file(GLOB_RECURSE found CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/${folder}/*.lua)
    list(APPEND files ${found})
  endforeach()
  get_target_property(type ${target} TYPE)
  if(NOT files OR type STREQUAL "INTERFACE_LIBRARY")
    return()
  endif()
  set(output ${CMAKE_BINARY_DIR}/embedded_lua.cpp)
  set(inputs)
  foreach(file ${files})
    list(APPEND inputs ${CMAKE_SOURCE_DIR}/${file})
  endforeach()
  string(REPLACE ";" "," joined "${files}")
  add_custom_command(OUTPUT ${output}
    COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} -DFILES=${joined} -DOUTPUT=${output} -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${inputs} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
  target_sources(${target} PRIVATE ${output})
endfunction()
