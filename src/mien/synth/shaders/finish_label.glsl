// How a fragment leaves when labels are made: distance along the camera's axis, part, normal.
layout(location = 0) out vec4 label_out;
layout(location = 1) out vec4 normal_out;
uniform int label;  // of the whole mesh; negative: each part of the head its own

void finish(vec3 normal, float alpha, int part) {
    if (alpha < 0.5) discard;
    label_out = vec4(1.0 / gl_FragCoord.w, float(label < 0 ? part + 1 : label), 0.0, 1.0);
    normal_out = vec4(normal, 1.0);
}
